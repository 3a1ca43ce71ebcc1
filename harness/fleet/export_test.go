package fleet

import "testing"

// OnStep has do called after each step that changes the disk, until the test ends.
func OnStep(t *testing.T, do func(string)) {
	old := step
	step = do
	t.Cleanup(func() { step = old })
}
