package server_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/light-in-the-loop/opu/internal/oip/oippb"
	"github.com/light-in-the-loop/opu/internal/server"
)

// dialGRPC connects to a target; the connection ends with the test.
func dialGRPC(t testing.TB, target string, o ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	o = append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32))}, o...)
	c, err := grpc.NewClient(target, o...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// withToken is the test's context with the token.
func withToken(t testing.TB) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
}

// message is an inference request with raw contents.
func message(model string, x []int8) *oippb.ModelInferRequest {
	raw := make([]byte, len(x))
	for i, v := range x {
		raw[i] = byte(v)
	}
	return &oippb.ModelInferRequest{
		ModelName:        model,
		Inputs:           []*oippb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "INT8", Shape: []int64{int64(len(x) / inputs), inputs}}},
		RawInputContents: [][]byte{raw},
	}
}

// floats are the numbers of a response.
func floats(r *oippb.ModelInferResponse) (y []float32) {
	if len(r.GetRawOutputContents()) != 1 {
		return nil
	}
	for raw := r.RawOutputContents[0]; len(raw) > 0; raw = raw[4:] {
		y = append(y, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	}
	return y
}

// Both protocols give the same numbers, whatever the form of the request.
func TestGRPC(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Shutter: true, Simulated: "ideal"})
	x := randomRows(1, 5, 0)
	for _, target := range []string{h.grpcSocket, h.grpcTCP} {
		c := oippb.NewGRPCInferenceServiceClient(dialGRPC(t, target))
		for _, model := range []string{"opu", "opu-real", "opu-intensity"} {
			want, shape := h.socket.infer(model, x, "")
			r, err := c.ModelInfer(withToken(t), message(model, x))
			if err != nil {
				t.Fatal(err)
			}
			if y := floats(r); !slices.Equal(y, want) {
				t.Errorf("%s of %s: other numbers than HTTP's", model, target)
			}
			if out := r.Outputs[0]; out.Name != "y" || out.Datatype != "FP32" || len(out.Shape) != len(shape) || out.Contents != nil || r.ModelVersion != h.server.Version() {
				t.Errorf("the response is %v", r.Outputs)
			}
			if p := r.Parameters; p["epoch"].GetStringParam() != "b-fake" || p["corr"].GetDoubleParam() != 0.99 || p["queue_us"].GetParameterChoice() == nil {
				t.Errorf("its parameters are %v", p)
			}
		}
	}

	// Typed contents, parameters, id, version, and one row.
	c := oippb.NewGRPCInferenceServiceClient(dialGRPC(t, h.grpcSocket))
	want, _ := h.socket.infer("opu", x[:inputs], `,"row_start":3,"row_count":4`)
	for datatype, contents := range map[string]*oippb.InferTensorContents{
		"INT8": {IntContents: widen[int32](x[:inputs])}, "UINT8": {UintContents: widen[uint32](x[:inputs])}, "BOOL": {BoolContents: bools(x[:inputs])},
	} {
		q := message("opu", x[:inputs])
		q.Id, q.ModelVersion = "7", h.server.Version()
		q.RawInputContents, q.Inputs[0].Contents, q.Inputs[0].Datatype = nil, contents, datatype
		q.Outputs = []*oippb.ModelInferRequest_InferRequestedOutputTensor{{Name: "y"}}
		q.Parameters = map[string]*oippb.InferParameter{
			"row_start": {ParameterChoice: &oippb.InferParameter_Int64Param{Int64Param: 3}},
			"row_count": {ParameterChoice: &oippb.InferParameter_DoubleParam{DoubleParam: 4}},
			"priority":  {ParameterChoice: &oippb.InferParameter_Uint64Param{Uint64Param: 1}},
		}
		if r, err := c.ModelInfer(t.Context(), q); err != nil || r.Id != "7" || !slices.Equal(floats(r), want) {
			t.Errorf("%s: %v, %v", datatype, r, err)
		}
	}
	if held := h.server.Status().Memory; held != 0 {
		t.Errorf("%d bytes are held when all is done", held)
	}
}

func widen[T int32 | uint32](x []int8) (y []T) {
	for _, v := range x {
		y = append(y, T(v))
	}
	return y
}

func bools(x []int8) (y []bool) {
	for _, v := range x {
		y = append(y, v != 0)
	}
	return y
}

// What HTTP describes, gRPC does.
func TestGRPCDescriptions(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Simulated: "ideal"})
	conn := dialGRPC(t, h.grpcSocket)
	c, ctx := oippb.NewGRPCInferenceServiceClient(conn), t.Context()
	if _, err := c.ModelInfer(ctx, message("opu", randomRows(1, 6, -1))); err != nil {
		t.Fatal(err)
	}
	live, err := c.ServerLive(ctx, nil)
	if err != nil || !live.Live {
		t.Errorf("live: %v, %v", live, err)
	}
	ready, err := c.ServerReady(ctx, nil)
	if err != nil || !ready.Ready {
		t.Errorf("ready: %v, %v", ready, err)
	}
	for model, want := range map[string]bool{"opu": true, "opu-intensity": false} { // there is no shutter
		if r, err := c.ModelReady(ctx, &oippb.ModelReadyRequest{Name: model}); err != nil || r.Ready != want {
			t.Errorf("%s: %v, %v", model, r, err)
		}
	}
	s, err := c.ServerMetadata(ctx, nil)
	if err != nil || s.Name != "opud" || s.Version != "1.2.3" || !slices.Contains(s.Extensions, "statistics") || slices.Contains(s.Extensions, "system_shared_memory") {
		t.Errorf("the server is %v, %v", s, err)
	}
	m, err := c.ModelMetadata(ctx, &oippb.ModelMetadataRequest{Name: "opu", Version: h.server.Version()})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&oippb.ModelMetadataResponse{
		Name: "opu", Versions: []string{h.server.Version()}, Platform: "opu_optical",
		Inputs:     []*oippb.ModelMetadataResponse_TensorMetadata{{Name: "x", Datatype: "INT8", Shape: []int64{-1, 10}}},
		Outputs:    []*oippb.ModelMetadataResponse_TensorMetadata{{Name: "y", Datatype: "FP32", Shape: []int64{-1, 64, 2}}},
		Properties: map[string]string{"epoch": "b-fake", "device": "bench of the test", "simulated": "ideal"},
	}, m, protocmp.Transform()); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	config, err := c.ModelConfig(ctx, &oippb.ModelConfigRequest{Name: "opu-real-packed"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&oippb.ModelConfig{
		Name: "opu-real-packed", Platform: "opu_optical", Backend: "opu", MaxBatchSize: 4096,
		Input:      []*oippb.ModelInput{{Name: "x_bits", DataType: oippb.DataType_TYPE_UINT8, Dims: []int64{-1, 2}}},
		Output:     []*oippb.ModelOutput{{Name: "y", DataType: oippb.DataType_TYPE_FP32, Dims: []int64{64}}},
		Parameters: map[string]*oippb.ModelParameter{"epoch": {StringValue: "b-fake"}},
	}, config.Config, protocmp.Transform()); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	st, err := c.ModelStatistics(ctx, &oippb.ModelStatisticsRequest{Name: "opu"})
	if err != nil || len(st.ModelStats) != 1 || st.ModelStats[0].InferenceCount != 6 || st.ModelStats[0].InferenceStats.Queue.Count != 1 || st.ModelStats[0].InferenceStats.CacheHit == nil {
		t.Errorf("statistics: %v, %v", st, err)
	}
	if st, err := c.ModelStatistics(ctx, &oippb.ModelStatisticsRequest{}); err != nil || len(st.ModelStats) != 6 {
		t.Errorf("statistics of all: %v, %v", st, err)
	}
	for onlyReady, want := range map[bool]int{false: 6, true: 4} {
		if index, err := c.RepositoryIndex(ctx, &oippb.RepositoryIndexRequest{Ready: onlyReady}); err != nil || len(index.Models) != want {
			t.Errorf("index: %v, %v", index, err)
		}
	}
	probe := grpc_health_v1.NewHealthClient(conn)
	for service, want := range map[string]codes.Code{"": codes.OK, "inference.GRPCInferenceService": codes.OK, "other": codes.NotFound} {
		if r, err := probe.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service}); status.Code(err) != want || err == nil && r.Status != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v, %v", service, r, err)
		}
	}
	if _, err := c.CudaSharedMemoryUnregister(ctx, &oippb.CudaSharedMemoryUnregisterRequest{}); err != nil {
		t.Errorf("unregistering all CUDA regions: %v; tools stop then", err)
	}
	if r, err := c.CudaSharedMemoryStatus(ctx, &oippb.CudaSharedMemoryStatusRequest{}); err != nil || len(r.Regions) > 0 {
		t.Errorf("CUDA regions: %v, %v", r, err)
	}
}

func TestGRPCRefusals(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Limits: server.Limits{Memory: 1 << 20, Response: 1 << 14}}) // messages of 8 KiB
	conn := dialGRPC(t, h.grpcTCP)
	c, ctx := oippb.NewGRPCInferenceServiceClient(conn), withToken(t)
	row := randomRows(1, 1, -1)
	change := func(f func(q *oippb.ModelInferRequest)) *oippb.ModelInferRequest {
		q := message("opu", row)
		f(q)
		return q
	}
	typed := func(datatype string, contents *oippb.InferTensorContents) func(q *oippb.ModelInferRequest) {
		return func(q *oippb.ModelInferRequest) {
			q.RawInputContents, q.Inputs[0].Contents, q.Inputs[0].Datatype = nil, contents, datatype
		}
	}
	for _, x := range []struct {
		name   string
		change func(q *oippb.ModelInferRequest)
		code   codes.Code
		says   string
	}{
		{"model", func(q *oippb.ModelInferRequest) { q.ModelName = "other" }, codes.NotFound, "opu-real"},
		{"version", func(q *oippb.ModelInferRequest) { q.ModelVersion = "1" }, codes.NotFound, "b-fake"},
		{"no input", func(q *oippb.ModelInferRequest) { q.Inputs, q.RawInputContents = nil, nil }, codes.InvalidArgument, "one input"},
		{"another input", func(q *oippb.ModelInferRequest) { q.Inputs[0].Name = "z" }, codes.InvalidArgument, "called x"},
		{"no contents", func(q *oippb.ModelInferRequest) { q.RawInputContents = nil }, codes.InvalidArgument, "nowhere"},
		{"two contents", func(q *oippb.ModelInferRequest) { q.RawInputContents = append(q.RawInputContents, nil) }, codes.InvalidArgument, "more than inputs"},
		{"both kinds", func(q *oippb.ModelInferRequest) { q.Inputs[0].Contents = new(oippb.InferTensorContents) }, codes.InvalidArgument, "typed contents"},
		{"short", func(q *oippb.ModelInferRequest) { q.RawInputContents[0] = q.RawInputContents[0][1:] }, codes.InvalidArgument, "10 bytes"},
		{"value", func(q *oippb.ModelInferRequest) { q.RawInputContents[0][5] = 2 }, codes.InvalidArgument, "entry 5 of row 0"},
		{"typed value", typed("INT8", &oippb.InferTensorContents{IntContents: []int32{0, 0, 300, 0, 0, 0, 0, 0, 0, 0}}), codes.InvalidArgument, "element 2 is 300"},
		{"typed elsewhere", typed("INT8", &oippb.InferTensorContents{UintContents: widen[uint32](row)}), codes.InvalidArgument, "10 bytes"},
		{"half precision", func(q *oippb.ModelInferRequest) { q.Inputs[0].Datatype = "FP16" }, codes.InvalidArgument, "FP16"},
		{"parameter", func(q *oippb.ModelInferRequest) { q.Parameters = map[string]*oippb.InferParameter{"row_cout": {}} }, codes.InvalidArgument, "row_cout"},
		{"ternary light", func(q *oippb.ModelInferRequest) { q.ModelName = "opu-intensity" }, codes.Unimplemented, "shutter"},
		{"rows", func(q *oippb.ModelInferRequest) {
			q.Inputs[0].Shape[0], q.RawInputContents[0] = 400, make([]byte, 4000)
		}, codes.ResourceExhausted, "max_batch_size"},
		{"fields", func(q *oippb.ModelInferRequest) {
			for range 2000 { // two bytes each
				q.Inputs = append(q.Inputs, new(oippb.ModelInferRequest_InferInputTensor))
			}
		}, codes.InvalidArgument, "16 of each"},
		{"message", func(q *oippb.ModelInferRequest) { q.RawInputContents[0] = make([]byte, 1<<15) }, codes.ResourceExhausted, "larger than max"},
		{"shared memory", func(q *oippb.ModelInferRequest) {
			q.RawInputContents = nil
			q.Inputs[0].Parameters = map[string]*oippb.InferParameter{
				"shared_memory_region":    {ParameterChoice: &oippb.InferParameter_StringParam{StringParam: "x"}},
				"shared_memory_byte_size": {ParameterChoice: &oippb.InferParameter_Int64Param{Int64Param: 10}},
			}
		}, codes.Unimplemented, "announce"},
	} {
		_, err := c.ModelInfer(ctx, change(x.change))
		if status.Code(err) != x.code || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v, want %v and words about %q", x.name, err, x.code, x.says)
		}
	}
	if _, err := c.CudaSharedMemoryRegister(ctx, &oippb.CudaSharedMemoryRegisterRequest{Name: "a"}); status.Code(err) != codes.Unimplemented {
		t.Errorf("registering CUDA memory: %v", err)
	}
	for _, method := range []string{"RepositoryModelLoad", "TraceSetting", "ModelStreamInfer"} {
		if err := conn.Invoke(ctx, "/inference.GRPCInferenceService/"+method, new(oippb.ServerLiveRequest), new(oippb.ServerLiveResponse)); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v, want Unimplemented", method, err)
		}
	}
	if _, err := grpc_health_v1.NewHealthClient(conn).List(ctx, new(grpc_health_v1.HealthListRequest)); status.Code(err) != codes.Unimplemented {
		t.Errorf("listing health: %v", err)
	}
	if r, err := c.ModelInfer(ctx, message("opu", row)); err != nil || len(floats(r)) != 2*outputs {
		t.Errorf("after all that: %v", err)
	}
	if held := h.server.Status().Memory; held != 0 {
		t.Errorf("%d bytes are held when all is done", held)
	}
}

// The same who may use HTTP may use gRPC.
func TestGRPCRights(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	conn := dialGRPC(t, h.grpcTCP)
	c := oippb.NewGRPCInferenceServiceClient(conn)
	if _, err := c.ServerLive(t.Context(), nil); err != nil {
		t.Errorf("health needs no token: %v", err)
	}
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), nil); err != nil {
		t.Errorf("health needs no token: %v", err)
	}
	for authorization, want := range map[string]codes.Code{
		"": codes.Unauthenticated, "Bearer wrong": codes.Unauthenticated, token: codes.Unauthenticated,
		"bearer " + token: codes.OK, "Basic YW55b25lOmEtdG9rZW4tb2YtdGhpcy10ZXN0": codes.OK,
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", authorization)
		if _, err := c.ServerMetadata(ctx, nil); status.Code(err) != want {
			t.Errorf("%q: %v, want %v", authorization, err, want)
		}
		if _, err := c.ModelInfer(ctx, message("opu", randomRows(1, 1, -1))); status.Code(err) != want {
			t.Errorf("%q: %v, want %v", authorization, err, want)
		}
	}
}

// A call ends with its deadline, and the device stops for who has gone.
func TestGRPCVanishedClient(t *testing.T) {
	f, waits, _ := blocking()
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: f}})
	ctx, hangUp := context.WithCancel(t.Context())
	go func() {
		<-waits
		hangUp()
	}()
	c := oippb.NewGRPCInferenceServiceClient(dialGRPC(t, h.grpcSocket))
	if _, err := c.ModelInfer(ctx, message("opu", randomRows(1, 1, -1))); status.Code(err) != codes.Canceled {
		t.Errorf("got %v, want Canceled", err)
	}
	<-waits // for the end of its context
	h.until("memory is held for a client that has gone", func() bool { return h.server.Status().Memory == 0 })
}

// A panic in the device's code ends one call and not the server.
func TestGRPCPanic(t *testing.T) {
	f := new(panicking)
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: f}})
	c := oippb.NewGRPCInferenceServiceClient(dialGRPC(t, h.grpcSocket))
	f.now = true
	if _, err := c.ModelInfer(t.Context(), message("opu", randomRows(1, 1, -1))); status.Code(err) != codes.Internal {
		t.Errorf("got %v, want Internal", err)
	}
	f.now = false
	if _, err := c.ModelInfer(t.Context(), message("opu", randomRows(1, 1, -1))); err != nil {
		t.Errorf("after it: %v", err)
	}
	if held := h.server.Status().Memory; held != 0 {
		t.Errorf("%d bytes are held when all is done", held)
	}
}

// panicking panics where its epoch is asked for.
type panicking struct {
	fake
	now bool
}

func (p *panicking) Epoch() string {
	if p.now {
		panic("on purpose")
	}
	return p.fake.Epoch()
}

// Regions are the same as over HTTP on the socket, for the same user.
func TestGRPCSharedMemory(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, SharedMemory: shared})
	key, memory := sharedMemory(t, 8192)
	c, ctx := oippb.NewGRPCInferenceServiceClient(dialGRPC(t, h.grpcSocket)), t.Context()
	if _, err := c.SystemSharedMemoryRegister(ctx, &oippb.SystemSharedMemoryRegisterRequest{Name: "x", Key: key, ByteSize: 4096}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SystemSharedMemoryRegister(ctx, &oippb.SystemSharedMemoryRegisterRequest{Name: "y", Key: key, Offset: 4096, ByteSize: 4096}); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		q    *oippb.SystemSharedMemoryRegisterRequest
		code codes.Code
	}{
		{&oippb.SystemSharedMemoryRegisterRequest{Name: "y", Key: key, ByteSize: 1}, codes.AlreadyExists},
		{&oippb.SystemSharedMemoryRegisterRequest{Name: "z", Key: "opu-missing", ByteSize: 1}, codes.PermissionDenied},
		{&oippb.SystemSharedMemoryRegisterRequest{Name: "z", Key: "/", ByteSize: 1}, codes.InvalidArgument},
		{&oippb.SystemSharedMemoryRegisterRequest{Name: "z", Key: key, ByteSize: math.MaxUint64}, codes.InvalidArgument},
		{&oippb.SystemSharedMemoryRegisterRequest{Name: "z", Key: key, Offset: math.MaxInt64, ByteSize: math.MaxInt64}, codes.InvalidArgument},
	} {
		if _, err := c.SystemSharedMemoryRegister(ctx, bad.q); status.Code(err) != bad.code {
			t.Errorf("%v: %v, want %v", bad.q, err, bad.code)
		}
	}
	q := message("opu", randomRows(1, 2, -1))
	if _, err := memory.WriteAt(q.RawInputContents[0], 7); err != nil {
		t.Fatal(err)
	}
	want, err := c.ModelInfer(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	where := func(region string, size, offset int64) map[string]*oippb.InferParameter {
		return map[string]*oippb.InferParameter{
			"shared_memory_region":    {ParameterChoice: &oippb.InferParameter_StringParam{StringParam: region}},
			"shared_memory_byte_size": {ParameterChoice: &oippb.InferParameter_Int64Param{Int64Param: size}},
			"shared_memory_offset":    {ParameterChoice: &oippb.InferParameter_Int64Param{Int64Param: offset}},
		}
	}
	q.RawInputContents, q.Inputs[0].Parameters = nil, where("x", 2*inputs, 7)
	q.Outputs = []*oippb.ModelInferRequest_InferRequestedOutputTensor{{Name: "y", Parameters: where("y", 2*outputs*8, 100)}}
	r, err := c.ModelInfer(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	// Its raw contents are there, and empty.
	if len(r.RawOutputContents) != 1 || len(r.RawOutputContents[0]) != 0 || !slices.Equal(r.Outputs[0].Shape, []int64{2, outputs, 2}) {
		t.Errorf("the response is %v", r)
	}
	got := make([]byte, 2*outputs*8)
	if _, err := memory.ReadAt(got, 4096+100); err != nil || !slices.Equal(got, want.RawOutputContents[0]) {
		t.Errorf("other numbers than in the message (%v)", err)
	}
	if st, err := c.SystemSharedMemoryStatus(ctx, &oippb.SystemSharedMemoryStatusRequest{}); err != nil || len(st.Regions) != 2 || st.Regions["y"].Offset != 4096 {
		t.Errorf("the regions are %v, %v", st, err)
	}
	if _, _, body := h.socket.do("GET", "/v2/systemsharedmemory/status", nil); !strings.Contains(string(body), key) {
		t.Errorf("over HTTP the regions are %s", body)
	}
	if _, err := c.SystemSharedMemoryUnregister(ctx, &oippb.SystemSharedMemoryUnregisterRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := c.ModelInfer(ctx, q); status.Code(err) != codes.NotFound {
		t.Errorf("a region that is unregistered: %v", err)
	}
}

// gRPC over TLS.
func TestGRPCTLS(t *testing.T) {
	other := httptest.NewTLSServer(nil) // for its certificate
	defer other.Close()
	s, err := server.New(server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	l, err := server.ListenTCP("127.0.0.1:0", &tls.Config{Certificates: other.TLS.Certificates, NextProtos: []string{"h2"}}, true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.Serve(ctx, server.ForGRPC(l)) }()
	roots := other.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	conn := dialGRPC(t, l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "example.com"})))
	if _, err := oippb.NewGRPCInferenceServiceClient(conn).ModelInfer(withToken(t), message("opu", randomRows(1, 1, -1))); err != nil {
		t.Error(err)
	}
	conn.Close()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Bytes that are no gRPC hurt nobody.
func TestGRPCNonsense(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	path := strings.TrimPrefix(h.grpcSocket, "unix://")
	for _, bytes := range []string{"", "GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff", strings.Repeat("\x00", 1000)} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte(bytes))
		c.Close()
	}
	c := oippb.NewGRPCInferenceServiceClient(dialGRPC(t, h.grpcSocket))
	if _, err := c.ModelInfer(t.Context(), message("opu", randomRows(1, 1, -1))); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
