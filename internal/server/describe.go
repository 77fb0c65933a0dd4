package server

import (
	"net/http"

	"github.com/light-in-the-loop/opu/internal/oip"
)

func (s *Server) live(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, map[string]bool{"live": true})
}

func (s *Server) healthReady(w http.ResponseWriter, _ *http.Request) error {
	if err := s.ready(); err != nil {
		return err
	}
	return writeJSON(w, map[string]bool{"ready": true})
}

func (s *Server) metadata(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, s.about(peerOf(r)))
}

// about is what the server is for a peer.
func (s *Server) about(p *peer) oip.ServerMetadata {
	m := oip.ServerMetadata{
		Name: "opud", Version: s.o.Version,
		Extensions: []string{"binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics"},
	}
	if s.regions.allowed(p) == nil {
		m.Extensions = append(m.Extensions, "system_shared_memory")
	}
	return m
}

// names is KServe's list of models.
func (s *Server) names(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, map[string][]string{"models": s.modelNames()})
}

// usable is nil while the model can be asked for projections.
func (s *Server) usable(m *model) error {
	if m.broken != nil {
		return m.broken
	}
	return s.ready()
}

func (s *Server) modelReady(w http.ResponseWriter, r *http.Request) error {
	m, err := s.find(r.PathValue("name"), r.PathValue("version"))
	if err == nil {
		err = s.usable(m)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"name": m.name, "ready": true})
}

func (s *Server) modelMetadata(w http.ResponseWriter, r *http.Request) error {
	m, matrix, err := s.findServed(r.PathValue("name"), r.PathValue("version"))
	if err != nil {
		return err
	}
	return writeJSON(w, s.describe(m, matrix))
}

// describe is a model's metadata.
func (s *Server) describe(m *model, matrix *live) oip.ModelMetadata {
	name, datatype, shape := s.input(m)
	properties := map[string]string{"epoch": matrix.OPU.Epoch(), "device": s.o.Device}
	if s.o.Simulated != "" {
		properties["simulated"] = s.o.Simulated
	}
	return oip.ModelMetadata{
		Name: m.name, Versions: []string{matrix.version}, Platform: platform,
		Inputs:     []oip.TensorMetadata{{Name: name, Datatype: datatype, Shape: append([]int{-1}, shape...)}},
		Outputs:    []oip.TensorMetadata{{Name: "y", Datatype: oip.FP32, Shape: append([]int{-1}, m.outputShape(s.outputs)...)}},
		Properties: properties,
	}
}

func (s *Server) modelConfig(w http.ResponseWriter, r *http.Request) error {
	m, matrix, err := s.findServed(r.PathValue("name"), r.PathValue("version"))
	if err != nil {
		return err
	}
	return writeJSON(w, s.configure(m, matrix))
}

// configure is a model's configuration.
func (s *Server) configure(m *model, matrix *live) oip.ModelConfig {
	name, datatype, shape := s.input(m)
	return oip.ModelConfig{
		Name: m.name, Platform: platform, Backend: backend, MaxBatchSize: s.maxBatch(m),
		Input:      []oip.TensorConfig{{Name: name, DataType: "TYPE_" + datatype, Dims: shape}},
		Output:     []oip.TensorConfig{{Name: "y", DataType: "TYPE_" + oip.FP32, Dims: m.outputShape(s.outputs)}},
		Parameters: map[string]oip.StringValue{"epoch": {Value: matrix.OPU.Epoch()}},
	}
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) error { return writeJSON(w, s.list()) }

// list is the models and their states.
func (s *Server) list() []oip.ModelIndex {
	index := []oip.ModelIndex{}
	for _, m := range s.models {
		entry := oip.ModelIndex{Name: m.name, Version: s.Version(), State: oip.Ready}
		if err := s.usable(m); err != nil {
			entry.State, entry.Reason = oip.Unavailable, err.Error()
		}
		index = append(index, entry)
	}
	return index
}
