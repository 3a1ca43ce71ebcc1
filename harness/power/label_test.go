package power

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWhole: an output is not an input, and one supply, a rail and a module are
// no total, whoever names them.
func TestWhole(t *testing.T) {
	for label, want := range map[string]bool{
		"": true, "System Power Control": true, "Server Power Control 1": true, "Chassis": true, "Total System Input": true, "AC 230V Input": true,
		"ACME Inc.": true, "Platform": true, "System Board Pwr Consumption": true, "Node Power": true, "PSU input": true,
		"power total output": false, "Pout1": false, "Total DC output": false, "PSU 1 Input": false, "PS2": false, "Power Supply #2": false, "inlet-1": false, "Phase B": false,
		"+12V": false, "12V rail": false, "P3.3V": false, "VDDCR_CPU": false, "vcore": false, "5 Vdc": false,
		"CPU Sub-system Power": false, "Memory": false, "Module Power Socket 0": false, "GPU baseboard": false, "SysIO Power": false, "Fan power": false, "HDD": false, "Blade 3": false,
		"12 Volt": false, "P3V3": false, "P12V_AUX": false, "VCCIN": false, "5VSB": false, "Standby": false, "VRM 1": false,
		"Package": false, "FPGA": false, "DPU": false, "HSC0 Input": false, "Hot Swap Power": false, "Backplane": false, "BMC Package Power": false,
		"Passive": true, "System Input 230 V AC": true, "Node 2": true, "Volta server": true,
	} {
		require.Equal(t, want, Whole(label), label)
	}
}
