package oip

// The objects that servers answer with, apart from inference (sections 2, 6 and 7).
type (
	// ServerMetadata is the answer to GET /v2.
	ServerMetadata struct {
		Name       string   `json:"name"`
		Version    string   `json:"version"`
		Extensions []string `json:"extensions"`
	}

	// ModelMetadata is the answer to GET /v2/models/NAME.
	ModelMetadata struct {
		Name       string            `json:"name"`
		Versions   []string          `json:"versions"`
		Platform   string            `json:"platform"`
		Inputs     []TensorMetadata  `json:"inputs"`
		Outputs    []TensorMetadata  `json:"outputs"`
		Properties map[string]string `json:"properties,omitempty"`
	}

	// TensorMetadata describes a tensor; -1 is a dimension that requests choose.
	TensorMetadata struct {
		Name     string `json:"name"`
		Datatype string `json:"datatype"`
		Shape    []int  `json:"shape"`
	}

	// ModelConfig is the answer to GET /v2/models/NAME/config.
	ModelConfig struct {
		Name         string                 `json:"name"`
		Platform     string                 `json:"platform"`
		Backend      string                 `json:"backend"`
		MaxBatchSize int                    `json:"max_batch_size"`
		Input        []TensorConfig         `json:"input"`
		Output       []TensorConfig         `json:"output"`
		Parameters   map[string]StringValue `json:"parameters,omitempty"`
	}

	// TensorConfig describes a tensor without its batch dimension.
	TensorConfig struct {
		Name     string `json:"name"`
		DataType string `json:"data_type"` // TYPE_ and the datatype
		Dims     []int  `json:"dims"`
	}

	// StringValue is a parameter of a model.
	StringValue struct {
		Value string `json:"string_value"`
	}

	// ModelIndex is an entry of the answer to POST /v2/repository/index.
	ModelIndex struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		State   string `json:"state"` // Ready or Unavailable
		Reason  string `json:"reason"`
	}

	// Statistics is the answer to GET /v2/models/stats.
	Statistics struct {
		Models []ModelStatistics `json:"model_stats"`
	}

	// ModelStatistics counts since the start of the server.
	ModelStatistics struct {
		Name           string              `json:"name"`
		Version        string              `json:"version"`
		LastInference  int64               `json:"last_inference"`  // ms since 1970
		InferenceCount uint64              `json:"inference_count"` // rows
		ExecutionCount uint64              `json:"execution_count"` // batches on the device
		Inference      InferenceStatistics `json:"inference_stats"`
		Responses      map[string]any      `json:"response_stats"`
		Batches        []any               `json:"batch_stats"`
		Memory         []any               `json:"memory_usage"`
	}

	// InferenceStatistics are those of the requests of a model. Tools need all of
	// them, with equal counts of the three compute parts.
	InferenceStatistics struct {
		Success       Duration `json:"success"`
		Fail          Duration `json:"fail"`
		Queue         Duration `json:"queue"`
		ComputeInput  Duration `json:"compute_input"`
		ComputeInfer  Duration `json:"compute_infer"`
		ComputeOutput Duration `json:"compute_output"`
		CacheHit      Duration `json:"cache_hit"`
		CacheMiss     Duration `json:"cache_miss"`
	}

	// Duration is how often something took how long in all.
	Duration struct {
		Count       uint64 `json:"count"`
		Nanoseconds uint64 `json:"ns"`
	}
)

// States of a model.
const (
	Ready       = "READY"
	Unavailable = "UNAVAILABLE"
)
