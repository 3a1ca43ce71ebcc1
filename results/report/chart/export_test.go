package chart

// Width is width, for tests.
var Width = width
