//go:build !linux

package sgemm

func adviseHuge([]float32) {}
