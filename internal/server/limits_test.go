package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/oip/oippb"
)

// pipes is a listener whose connections are in memory, so that time can stand still.
type pipes struct{ waiting chan net.Conn }

func newPipes() *pipes { return &pipes{make(chan net.Conn, 8)} }

func (p *pipes) Accept() (net.Conn, error) {
	c, ok := <-p.waiting
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p *pipes) Close() error {
	defer func() { recover() }() // it is closed twice
	close(p.waiting)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Net: "pipe"} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.waiting <- there
	return here
}

// No more connections than there are places are open; one that closes makes room.
func TestConnectionsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		l := limit(p, 2)
		for range 3 {
			p.dial()
		}
		accepted := make(chan net.Conn, 3)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					close(accepted)
					return
				}
				accepted <- c
			}
		}()
		synctest.Wait()
		if n := len(accepted); n != 2 {
			t.Fatalf("%d connections are open, want 2", n)
		}
		c := <-accepted
		c.Close()
		c.Close() // gives one place back, not two
		p.dial()
		synctest.Wait()
		if n := len(accepted); n != 2 {
			t.Errorf("after one has closed %d are open, want 2", n)
		}
		l.Close()
		for range accepted {
		}
	})
}

// still is an OPU that nobody asks for anything.
type still struct{}

func (still) Shape() (int, int)                                                  { return 2, 10 }
func (still) Epoch() string                                                      { return "b-still" }
func (still) Stats() driver.Stats                                                { return driver.Stats{} }
func (still) ProjectWindow(context.Context, []complex64, []int8, int, int) error { return nil }
func (still) Intensity(context.Context, []float32, []int8) error                 { return nil }

// vast is an OPU whose result of one row is far more than a connection of gRPC has on its
// way.
type vast struct{ still }

func (vast) Shape() (int, int) { return 200_000, 10 }

// Whoever asks by gRPC and never takes the result loses the connection after a while, and
// the server has its memory back; others go on.
func TestGRPCResultNeverTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Matrix: &Matrix{OPU: vast{}}, Token: "of-this-test"})
		if err != nil {
			t.Fatal(err)
		}
		p := newPipes()
		ctx, end := context.WithCancel(t.Context())
		served := make(chan error)
		go func() { served <- s.Serve(ctx, ForGRPC(p)) }()
		connect := func() *grpc.ClientConn {
			c, err := grpc.NewClient("passthrough:///opu", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithInitialWindowSize(64<<10),
				grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return p.dial(), nil }))
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		request := &oippb.ModelInferRequest{
			ModelName: "opu", Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "INT8", Shape: []int64{1, 10}}}, RawInputContents: [][]byte{make([]byte, 10)},
		}
		calling := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer of-this-test")
		lazy := connect()
		stream, err := lazy.NewStream(calling, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/inference.GRPCInferenceService/ModelInfer")
		if err == nil {
			err = errors.Join(stream.SendMsg(request), stream.CloseSend())
		}
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		synctest.Wait() // the result waits to be taken
		if held := s.Status().Memory; held < 8*200_000 {
			t.Errorf("%d bytes are held for a result that waits, want those of it", held)
		}

		time.Sleep(bodyTimeout / 2)
		other := connect()
		r, err := oippb.NewGRPCInferenceServiceClient(other).ModelInfer(calling, request, grpc.MaxCallRecvMsgSize(8<<20))
		if err != nil || len(r.RawOutputContents[0]) != 8*200_000 {
			t.Errorf("another's request meanwhile: %v", err)
		}
		other.Close()

		lazy.WaitForStateChange(t.Context(), connectivity.Ready)
		if took := time.Since(began); took < bodyTimeout || took > bodyTimeout+5*time.Second {
			t.Errorf("the connection was closed after %v, want %v", took, bodyTimeout)
		}
		synctest.Wait()
		if held := s.Status().Memory; held != 0 {
			t.Errorf("%d bytes are held when it is gone", held)
		}
		lazy.Close()
		end()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// Whoever sends a header, or a body, too slowly is not waited for, and others go on.
func TestSlowRequests(t *testing.T) {
	const head = "POST /v2/models/opu/infer HTTP/1.1\r\nHost: opu\r\nAuthorization: Bearer of-this-test\r\n"
	for name, c := range map[string]struct {
		sent   string
		limit  time.Duration
		status int // 0: none
	}{
		"header":        {head, headerTimeout, 0},
		"nothing":       {"", headerTimeout, 0},
		"body":          {head + "Inference-Header-Content-Length: 0\r\nContent-Length: 10\r\n\r\n\x01\x00", bodyTimeout, http.StatusBadRequest},
		"body, chunked": {head + "Inference-Header-Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\x01\x00\r\n", bodyTimeout, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := New(Options{Matrix: &Matrix{OPU: still{}}, Token: "of-this-test"})
				if err != nil {
					t.Fatal(err)
				}
				p := newPipes()
				ctx, end := context.WithCancel(t.Context())
				served := make(chan error)
				go func() { served <- s.Serve(ctx, p) }()
				slow := p.dial()
				began := time.Now()
				if _, err := io.WriteString(slow, c.sent); err != nil {
					t.Fatal(err)
				}

				time.Sleep(c.limit / 2) // the clock is the bubble's
				other := p.dial()
				io.WriteString(other, head+"Inference-Header-Content-Length: 0\r\nContent-Length: 10\r\nConnection: close\r\n\r\n"+strings.Repeat("\x01", 10))
				if r, err := http.ReadResponse(bufio.NewReader(other), nil); err != nil || r.StatusCode != http.StatusOK {
					t.Errorf("another's request meanwhile: %v, %v", r, err)
				}
				other.Close()

				answer, _ := io.ReadAll(slow) // until the server closes it
				if took := time.Since(began); took < c.limit || took > c.limit+5*time.Second {
					t.Errorf("it was closed after %v, want %v", took, c.limit)
				}
				if got := string(answer); c.status == 0 && strings.Contains(got, " 200 ") || c.status != 0 && !strings.HasPrefix(got, "HTTP/1.1 400 ") {
					t.Errorf("the answer is %q, want status %d", got, c.status)
				}
				slow.Close()
				end()
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
