package cuda

// Use has the package load another library.
func Use(path string) { libraries = []string{path} }
