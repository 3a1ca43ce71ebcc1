package sgemm

import "fmt"

// Epilogue is applied to each element of a finished product while it is still in
// a register: the bias and activation of a neural network's layer. The zero value
// does nothing.
type Epilogue struct {
	Bias []float32 // added to each row of C, so n elements; nil for none
	ReLU bool      // negative elements become 0; NaN stays NaN
}

func (e Epilogue) check(n int) {
	if e.Bias != nil && len(e.Bias) != n {
		panic(fmt.Sprintf("sgemm: bias has %d elements, C %d columns", len(e.Bias), n))
	}
}

// from returns the epilogue of the columns from j on.
func (e Epilogue) from(j int) Epilogue {
	if e.Bias != nil {
		e.Bias = e.Bias[j:]
	}
	return e
}

// set makes a micro-kernel apply the epilogue.
func (e Epilogue) set(t *tiles) {
	if e.Bias != nil {
		t.bias = &e.Bias[0]
	}
	if e.ReLU {
		t.relu = 1
	}
}

// apply applies the epilogue to a finished window of C.
func (e Epilogue) apply(m, n int, c []float32, ldc int) {
	if e.Bias == nil && !e.ReLU {
		return
	}
	for i := range m {
		row := c[i*ldc:][:n]
		if e.Bias != nil {
			for j, v := range e.Bias[:n] {
				row[j] += v
			}
		}
		if e.ReLU {
			for j, v := range row {
				row[j] = max(v, 0)
			}
		}
	}
}
