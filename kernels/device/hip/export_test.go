package hip

// Use has the package load another library.
func Use(path string) { libraries = []string{path} }

// Architecture is gcnArchName of a device's properties.
var Architecture = architecture
