// Command vm runs a program under a stock Debian kernel in an emulated machine, and exits
// with its status. There is no disk: the program, the libraries that it needs and the
// kernel modules named are the whole system.
//
// Time is simulated unless -real is given: the machine's clock counts instructions and
// leaps over idle time, so that no test is late because this machine is busy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/lab/plan"
)

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ", ") }
func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

type options struct {
	init, kernel, cache string
	modules, files, env list
	udev, real, verbose bool
	timeout             time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.init, "init", "", "the `file` that is process 1, built from lab/init without cgo")
	flag.Var(&o.modules, "module", "a kernel module to load, `'NAME [PARAMETER=VALUE...]'`, after those that it needs; may be repeated")
	flag.Var(&o.files, "file", "a file to put into the lab, `FILE[:PATH]`; without a path into /lab; may be repeated")
	flag.Var(&o.env, "env", "a variable of the program, `NAME=VALUE`; may be repeated")
	flag.BoolVar(&o.udev, "udev", false, "run this machine's udevd in the lab")
	flag.BoolVar(&o.real, "real", false, "let time be real")
	flag.BoolVar(&o.verbose, "verbose", false, "show what the kernel says")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Minute, "end the machine after this `time`, which is always real")
	flag.StringVar(&o.kernel, "kernel", "linux-image-amd64", "Debian's `package` with the kernel")
	flag.StringVar(&o.cache, "cache", "", "the `folder` that keeps the kernel, 500 MB; by default opu-lab in the user's cache")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: vm -init FILE [flags] PROGRAM [ARGUMENT...]\n\nvm runs a program in the virtual lab and exits with its status; %d: it was killed or took too long, %d: the lab could not run it.\n\n", plan.Stopped, plan.Failed)
		flag.PrintDefaults()
	}
	flag.Parse()
	if o.init == "" || flag.NArg() == 0 {
		flag.Usage()
		os.Exit(plan.Failed)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status, err := run(ctx, o, flag.Arg(0), flag.Args()[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
	}
	os.Exit(status)
}

func run(ctx context.Context, o options, program string, arguments []string) (int, error) {
	if o.cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return plan.Failed, fmt.Errorf("cannot keep the kernel anywhere; name a folder with -cache: %w", err)
		}
		o.cache = filepath.Join(base, "opu-lab")
	}
	k, err := findKernel(ctx, o.cache, o.kernel)
	if err != nil {
		return plan.Failed, err
	}
	work, err := os.MkdirTemp("", "opu-lab")
	if err != nil {
		return plan.Failed, err
	}
	defer os.RemoveAll(work)
	image := filepath.Join(work, "initramfs")
	if err := pack(ctx, image, k, o, program, arguments); err != nil {
		return plan.Failed, err
	}
	return boot(ctx, k.image, image, o)
}

// pack writes the initramfs.
func pack(ctx context.Context, image string, k kernel, o options, program string, arguments []string) (err error) {
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fs := newArchive(f)
	p := plan.Plan{Udev: o.udev, Env: o.env, Command: append([]string{"/lab/" + filepath.Base(program)}, arguments...)}
	if p.Modules, err = k.addModules(ctx, fs, o.modules); err != nil {
		return err
	}
	for _, file := range append(list{o.init + ":/init", program + ":" + p.Command[0]}, o.files...) {
		from, to, ok := strings.Cut(file, ":")
		if !ok {
			to = "/lab/" + filepath.Base(from)
		}
		if err := fs.program(ctx, from, to); err != nil {
			return err
		}
	}
	if o.udev {
		if err := addUdev(ctx, fs); err != nil {
			return err
		}
	}
	return fs.finish(p)
}
