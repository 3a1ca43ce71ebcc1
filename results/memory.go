package results

// MemoryPlan is what a use takes of a device's memory, in bytes. It is known before
// anything is allocated.
type MemoryPlan struct {
	Use    string `json:"use"`
	Device string `json:"device"`
	Model  string `json:"model"`
	Batch  int    `json:"batch"` // samples of a step; of a language model documents, on a CPU a thread
	MemoryParts
	Total int64  `json:"total"`          // 0 if it is refused
	Free  int64  `json:"free,omitempty"` // of the device's memory; 0 if its driver does not say
	Why   string `json:"why,omitempty"`  // it is refused
}

// MemoryParts are the parts of a [MemoryPlan], in bytes.
type MemoryParts struct {
	Weights     int64 `json:"weights"` // that products read
	Gradients   int64 `json:"gradients"`
	Optimiser   int64 `json:"optimiser"`   // moments, and the fp32 masters of bf16 weights
	Activations int64 `json:"activations"` // results of passes, which share memory where they are not needed at the same time
	Workspace   int64 `json:"workspace"`   // samples, and what passes sum in
}

// Total is the sum of the parts.
func (m MemoryParts) Total() int64 {
	return m.Weights + m.Gradients + m.Optimiser + m.Activations + m.Workspace
}
