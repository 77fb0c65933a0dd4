package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// format is the --format flag: text for people, JSON for programs.
type format string

func (f *format) register(c *cobra.Command) {
	*f = "text"
	c.Flags().StringVar((*string)(f), "format", "text", "what to print: text, or json (one object, at the end)")
}

func (f format) check() error {
	if f != "text" && f != "json" {
		return usage("--format is text or json, not %q", string(f))
	}
	return nil
}

// print writes the result: as JSON, or by text.
func (f format) print(w io.Writer, result any, text func(w io.Writer)) error {
	if f == "text" {
		text(w)
		return nil
	}
	out, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot print the result: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", out)
	return err
}

// progress shows how far long work is: a bar on a terminal, elsewhere one line for
// each stage. It writes to the error stream, so that results stay clean.
type progress struct {
	w   io.Writer
	bar *progressbar.ProgressBar // nil off a terminal
}

func newProgress(w io.Writer, steps int) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions(steps, progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(), progressbar.OptionEnableColorCodes(os.Getenv("NO_COLOR") == ""))
	}
	return p
}

// to moves the bar.
func (p *progress) to(step int, what string) {
	if p.bar != nil {
		p.bar.Describe(what)
		p.bar.Set(step)
	}
}

// line says that a stage is done.
func (p *progress) line(format string, args ...any) {
	if p.bar != nil {
		p.bar.Clear()
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

func (p *progress) done() {
	if p.bar != nil {
		p.bar.Finish()
	}
}

// writable finds out, before long work, that a folder can be made and written.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return usage("cannot write to the folder %s: %v", dir, err)
	}
	f, err := os.CreateTemp(dir, ".opuctl-*")
	if err != nil {
		return usage("cannot write to the folder %s: %v", dir, err)
	}
	f.Close()
	return os.Remove(f.Name())
}

// writableFile is writable for the folder that a file will lie in, and refuses a
// folder in the file's place.
func writableFile(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return usage("cannot write to %s: it is a folder", path)
	}
	return writable(filepath.Dir(path))
}

// exists says whether there is anything at a path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
