package server

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/light-in-the-loop/opu/internal/oip"
	"github.com/light-in-the-loop/opu/internal/oip/oippb"
)

// inference is the protocol's service: what HTTP answers, as messages. ModelInfer is
// not here; see call.
type inference struct {
	oippb.UnimplementedGRPCInferenceServiceServer
	s *Server
}

func (i *inference) ServerLive(context.Context, *oippb.ServerLiveRequest) (*oippb.ServerLiveResponse, error) {
	return &oippb.ServerLiveResponse{Live: true}, nil
}

func (i *inference) ServerReady(context.Context, *oippb.ServerReadyRequest) (*oippb.ServerReadyResponse, error) {
	return &oippb.ServerReadyResponse{Ready: i.s.ready() == nil}, nil
}

func (i *inference) ModelReady(_ context.Context, q *oippb.ModelReadyRequest) (*oippb.ModelReadyResponse, error) {
	m, err := i.s.find(q.Name, q.Version)
	if err != nil {
		return nil, err
	}
	return &oippb.ModelReadyResponse{Ready: i.s.usable(m) == nil}, nil
}

func (i *inference) ServerMetadata(ctx context.Context, _ *oippb.ServerMetadataRequest) (*oippb.ServerMetadataResponse, error) {
	m := i.s.about(peerOfCall(ctx))
	return &oippb.ServerMetadataResponse{Name: m.Name, Version: m.Version, Extensions: m.Extensions}, nil
}

func (i *inference) ModelMetadata(_ context.Context, q *oippb.ModelMetadataRequest) (*oippb.ModelMetadataResponse, error) {
	m, matrix, err := i.s.findServed(q.Name, q.Version)
	if err != nil {
		return nil, err
	}
	d := i.s.describe(m, matrix)
	tensors := func(of []oip.TensorMetadata) (list []*oippb.ModelMetadataResponse_TensorMetadata) {
		for _, t := range of {
			list = append(list, &oippb.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: t.Datatype, Shape: wide(t.Shape)})
		}
		return list
	}
	return &oippb.ModelMetadataResponse{
		Name: d.Name, Versions: d.Versions, Platform: d.Platform, Inputs: tensors(d.Inputs), Outputs: tensors(d.Outputs), Properties: d.Properties,
	}, nil
}

func (i *inference) ModelConfig(_ context.Context, q *oippb.ModelConfigRequest) (*oippb.ModelConfigResponse, error) {
	m, matrix, err := i.s.findServed(q.Name, q.Version)
	if err != nil {
		return nil, err
	}
	d := i.s.configure(m, matrix)
	c := &oippb.ModelConfig{
		Name: d.Name, Platform: d.Platform, Backend: d.Backend, MaxBatchSize: int32(d.MaxBatchSize), Parameters: map[string]*oippb.ModelParameter{},
	}
	for _, t := range d.Input {
		c.Input = append(c.Input, &oippb.ModelInput{Name: t.Name, DataType: oippb.DataType(oippb.DataType_value[t.DataType]), Dims: wide(t.Dims)})
	}
	for _, t := range d.Output {
		c.Output = append(c.Output, &oippb.ModelOutput{Name: t.Name, DataType: oippb.DataType(oippb.DataType_value[t.DataType]), Dims: wide(t.Dims)})
	}
	for name, v := range d.Parameters {
		c.Parameters[name] = &oippb.ModelParameter{StringValue: v.Value}
	}
	return &oippb.ModelConfigResponse{Config: c}, nil
}

func (i *inference) ModelStatistics(_ context.Context, q *oippb.ModelStatisticsRequest) (*oippb.ModelStatisticsResponse, error) {
	models := i.s.models
	if q.Name != "" {
		m, err := i.s.find(q.Name, q.Version)
		if err != nil {
			return nil, err
		}
		models = []*model{m}
	}
	answer := new(oippb.ModelStatisticsResponse)
	for _, m := range models {
		st := i.s.statistics(m)
		part := func(d oip.Duration) *oippb.StatisticDuration {
			return &oippb.StatisticDuration{Count: d.Count, Ns: d.Nanoseconds}
		}
		in := st.Inference
		answer.ModelStats = append(answer.ModelStats, &oippb.ModelStatistics{
			Name: st.Name, Version: st.Version, LastInference: uint64(st.LastInference), InferenceCount: st.InferenceCount, ExecutionCount: st.ExecutionCount,
			InferenceStats: &oippb.InferStatistics{
				Success: part(in.Success), Fail: part(in.Fail), Queue: part(in.Queue), ComputeInput: part(in.ComputeInput),
				ComputeInfer: part(in.ComputeInfer), ComputeOutput: part(in.ComputeOutput), CacheHit: part(in.CacheHit), CacheMiss: part(in.CacheMiss),
			},
		})
	}
	return answer, nil
}

func (i *inference) RepositoryIndex(_ context.Context, q *oippb.RepositoryIndexRequest) (*oippb.RepositoryIndexResponse, error) {
	answer := new(oippb.RepositoryIndexResponse)
	for _, m := range i.s.list() {
		if !q.Ready || m.State == oip.Ready {
			answer.Models = append(answer.Models, &oippb.RepositoryIndexResponse_ModelIndex{Name: m.Name, Version: m.Version, State: m.State, Reason: m.Reason})
		}
	}
	return answer, nil
}

func (i *inference) SystemSharedMemoryStatus(ctx context.Context, q *oippb.SystemSharedMemoryStatusRequest) (*oippb.SystemSharedMemoryStatusResponse, error) {
	list, err := i.s.regions.list(peerOfCall(ctx), q.Name)
	if err != nil {
		return nil, err
	}
	answer := &oippb.SystemSharedMemoryStatusResponse{Regions: map[string]*oippb.SystemSharedMemoryStatusResponse_RegionStatus{}}
	for _, r := range list {
		answer.Regions[r.Name] = &oippb.SystemSharedMemoryStatusResponse_RegionStatus{Name: r.Name, Key: r.Key, Offset: uint64(r.Offset), ByteSize: uint64(r.Size)}
	}
	return answer, nil
}

func (i *inference) SystemSharedMemoryRegister(ctx context.Context, q *oippb.SystemSharedMemoryRegisterRequest) (*oippb.SystemSharedMemoryRegisterResponse, error) {
	offset, err := oip.Int(q.Offset)
	if err != nil {
		return nil, err
	}
	size, err := oip.Int(q.ByteSize)
	if err != nil {
		return nil, err
	}
	return &oippb.SystemSharedMemoryRegisterResponse{}, i.s.regions.register(peerOfCall(ctx), q.Name, q.Key, offset, size)
}

func (i *inference) SystemSharedMemoryUnregister(ctx context.Context, q *oippb.SystemSharedMemoryUnregisterRequest) (*oippb.SystemSharedMemoryUnregisterResponse, error) {
	i.s.regions.unregister(peerOfCall(ctx), q.Name)
	return &oippb.SystemSharedMemoryUnregisterResponse{}, nil
}

func (i *inference) CudaSharedMemoryStatus(context.Context, *oippb.CudaSharedMemoryStatusRequest) (*oippb.CudaSharedMemoryStatusResponse, error) {
	return &oippb.CudaSharedMemoryStatusResponse{}, nil
}

func (i *inference) CudaSharedMemoryRegister(context.Context, *oippb.CudaSharedMemoryRegisterRequest) (*oippb.CudaSharedMemoryRegisterResponse, error) {
	return nil, errNoCUDA
}

func (i *inference) CudaSharedMemoryUnregister(context.Context, *oippb.CudaSharedMemoryUnregisterRequest) (*oippb.CudaSharedMemoryUnregisterResponse, error) {
	return &oippb.CudaSharedMemoryUnregisterResponse{}, nil
}

// health is the service that gRPC's own probes ask.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	s *Server
}

func (h *health) Check(_ context.Context, q *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if q.Service != "" && q.Service != oippb.GRPCInferenceService_ServiceDesc.ServiceName {
		return nil, status.Error(codes.NotFound, fmt.Sprintf("cannot tell the health of %.64q: there is %s", q.Service, oippb.GRPCInferenceService_ServiceDesc.ServiceName))
	}
	answer := &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
	if h.s.ready() != nil {
		answer.Status = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
	return answer, nil
}
