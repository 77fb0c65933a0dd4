package gentl

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/gentl/internal/wire"
)

// HelperVariable names the helper where it is not beside the program and not in PATH.
const HelperVariable = "OPU_GENTL"

// helperName is the program that producers are loaded into.
const helperName = "opu-gentl"

// How long a producer may take to answer before its helper is given up: to look for devices
// it may train links, everything else is quick.
const (
	probeLimit  = 2 * time.Second
	callLimit   = 5 * time.Second
	searchLimit = 30 * time.Second
	closeLimit  = 3 * time.Second
)

// process is a helper with a producer in it.
type process struct {
	path    string // of the producer
	cmd     *exec.Cmd
	control *net.UnixConn
	frames  *net.UnixConn
	memory  *os.File
	said    *tail

	turn chan struct{} // holds a token while the helper works on a request

	mu      sync.Mutex
	last    uint64 // id of a request
	pending func(wire.Reply)

	closing atomic.Bool   // we end it
	gone    chan struct{} // closed when the helper will not answer any more
	once    sync.Once
	why     error // meaningful when gone is closed
}

// findHelper is the helper's file.
func findHelper() (string, error) {
	if path := os.Getenv(HelperVariable); path != "" {
		return path, nil
	}
	if self, err := os.Executable(); err == nil {
		path := filepath.Join(filepath.Dir(self), helperName)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(helperName)
	if err != nil {
		return "", fmt.Errorf("cannot load GenTL producers: there is no %s beside this program, nor in PATH; build it with go install ./cmd/%s (it needs a C compiler), or name it in %s: %w", helperName, helperName, HelperVariable, errors.ErrUnsupported)
	}
	return path, nil
}

// startProcess starts a helper and loads a producer into it.
func startProcess(ctx context.Context, path string) (p *process, info wire.Producer, err error) {
	helper, err := findHelper()
	if err != nil {
		return nil, info, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, info, fmt.Errorf("cannot load the GenTL producer: %w", err)
	}
	p = &process{path: path, said: new(tail), turn: make(chan struct{}, 1), gone: make(chan struct{})}
	if err := p.start(helper); err != nil {
		return nil, info, fmt.Errorf("cannot start %s: %w", helper, err)
	}
	reply, err := p.ask(ctx, searchLimit, wire.Request{Do: wire.Load, Path: path})
	if err == nil && reply.Producer == nil {
		err = p.fault(camera.ErrProtocol, "load", "the helper told nothing of it")
	}
	if err != nil {
		p.close()
		return nil, info, err
	}
	return p, *reply.Producer, nil
}

// start makes the three descriptors and the process.
func (p *process) start(helper string) error {
	control, theirControl, err := pair(unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	defer theirControl.Close()
	frames, theirFrames, err := pair(unix.SOCK_SEQPACKET)
	if err != nil {
		control.Close()
		return err
	}
	defer theirFrames.Close()
	memory, err := newMemory()
	if err != nil {
		control.Close()
		frames.Close()
		return err
	}
	p.control, p.frames, p.memory = control, frames, memory
	p.cmd = exec.Command(helper)
	p.cmd.Env = append(os.Environ(), wire.Variable+"="+strconv.Itoa(wire.Version))
	p.cmd.ExtraFiles = []*os.File{theirControl, theirFrames, memory} // wire.ControlFD and on
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	p.cmd.WaitDelay = time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours: the camera is closed in order
	if err := p.cmd.Start(); err != nil {
		control.Close()
		frames.Close()
		memory.Close()
		return err
	}
	go p.listen()
	return nil
}

// pair is two ends of a socket: ours, and a file for the helper.
func pair(kind int) (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}

// listen hands replies to who asked, until the helper ends.
func (p *process) listen() {
	lines := bufio.NewReader(p.control)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var reply wire.Reply
		if err := json.Unmarshal(line, &reply); err != nil {
			p.give(p.fault(camera.ErrProtocol, "understand", "the helper answered nonsense"))
			break
		}
		p.mu.Lock()
		pending := p.pending
		if reply.ID == p.last {
			p.pending = nil
		} else {
			pending = nil
		}
		p.mu.Unlock()
		if pending != nil {
			pending(reply)
		}
	}
	p.cmd.Process.Kill() // if it has not ended yet
	err := p.cmd.Wait()
	if p.closing.Load() {
		p.give(p.fault(camera.ErrClosed, "go on", "closed"))
		return
	}
	said := p.said.String()
	if strings.HasPrefix(said, "cannot ") { // it did not even begin: a build without C, or of another version
		p.give(fmt.Errorf("%s: %w", said, errors.ErrUnsupported))
		return
	}
	text := "it ended"
	if err != nil {
		text = err.Error()
	}
	if said != "" {
		text += "; it said: " + said
	}
	p.give(p.fault(camera.ErrUnplugged, "go on", "the helper with this library died: "+text+"; open the camera again"))
}

// give gives the helper up: whoever waits for it, or asks it, gets the error.
func (p *process) give(why error) {
	p.once.Do(func() {
		p.why = why
		close(p.gone)
		p.cmd.Process.Kill()
		p.frames.Close()
		p.control.Close()
	})
}

// ask asks for something and waits for the reply. A context that ends earlier leaves the
// helper to its work; after the limit it is killed.
func (p *process) ask(ctx context.Context, limit time.Duration, r wire.Request) (wire.Reply, error) {
	if err := context.Cause(ctx); err != nil {
		return wire.Reply{}, err
	}
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return wire.Reply{}, context.Cause(ctx)
	case <-p.gone:
		return wire.Reply{}, p.why
	}
	timer := time.AfterFunc(limit, func() {
		p.give(p.fault(camera.ErrUnplugged, "go on", fmt.Sprintf("the library did not answer %q within %v and was stopped; open the camera again", r.Do, limit)))
	})
	answered := make(chan wire.Reply, 1)
	p.mu.Lock()
	p.last++
	r.ID = p.last
	p.pending = func(reply wire.Reply) {
		timer.Stop()
		<-p.turn
		answered <- reply
	}
	p.mu.Unlock()
	line, _ := json.Marshal(r) // cannot fail: it is numbers, texts and bytes
	p.control.SetWriteDeadline(time.Now().Add(limit))
	p.control.Write(append(line, '\n')) // if the helper has gone, listen finds out why; if it does not read, the limit holds
	select {
	case reply := <-answered:
		if reply.Error != "" {
			return reply, p.fault(condition(reply.Code), r.Do, reply.Error)
		}
		return reply, nil
	case <-ctx.Done():
		return wire.Reply{}, context.Cause(ctx)
	case <-p.gone:
		timer.Stop()
		return wire.Reply{}, p.why
	}
}

// fault is an error that names the producer.
func (p *process) fault(condition error, do, text string) error {
	return fmt.Errorf("cannot %s with GenTL producer %s: %s: %w", do, name(p.path), text, condition)
}

// condition is what callers act on, by the codes of GenTL.
func condition(code int32) error {
	switch code {
	case -1006, -1010: // the handle is of nothing any more; input or output failed
		return camera.ErrUnplugged
	case -1011:
		return camera.ErrTimeout
	}
	return camera.ErrRefused
}

// close ends the helper, which closes the camera first if it can.
func (p *process) close() {
	p.closing.Store(true)
	p.control.CloseWrite()
	select {
	case <-p.gone:
	case <-time.After(closeLimit):
		p.give(p.fault(camera.ErrClosed, "go on", "closed"))
	}
	p.memory.Close()
}

// tail keeps the end of what a helper said.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const (
	tailSize = 16 << 10 // a crash is told at length
	lineSize = 200
)

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if n := len(t.text) - tailSize; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(b), nil
}

// String is the line that says most: that of a crash, else the last one.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var chosen []byte
	for line := range bytes.Lines(t.text) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		chosen = line
		if bytes.HasPrefix(line, []byte("SIG")) || bytes.HasPrefix(line, []byte("panic:")) || bytes.HasPrefix(line, []byte("fatal error:")) {
			break
		}
	}
	return strings.ToValidUTF8(string(chosen[:min(len(chosen), lineSize)]), "?")
}
