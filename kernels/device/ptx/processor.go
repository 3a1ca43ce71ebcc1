package ptx

import (
	"errors"
	"fmt"
	"math"

	"github.com/perwatt/perwatt/kernels/device"
)

// Processor is a GPU that interprets PTX. It runs a launch when it is submitted.
type Processor struct {
	Memory Memory
	Arch   string // sm_80: which code of a program it takes
	Steps  int64  // as in [Config]

	modules map[*device.Program]*Module
	lost    error
}

// memory is what the interpreter says that it has, for those who choose sizes by
// it: an amount that it goes through in no time. It gives more.
const memory = 32 << 20

// Info implements [device.Device].
func (p *Processor) Info() device.Info {
	features := []string{p.Arch, "fp64"}
	if p.Arch >= "sm_80" {
		features = append(features, "mma")
	}
	if p.Arch == "sm_90" {
		features = append(features, "wgmma", "tma")
	}
	return device.Info{ID: "ptx", Kind: device.GPU, Vendor: "perwatt", Name: "PTX interpreter", Driver: "interpreter", Memory: memory, Lanes: 1, Features: features}
}

type buffer struct {
	address uint64
	bytes   int64
	part    bool
}

func (b *buffer) Size() int64 { return b.bytes }

// Name implements [device.Kernel].
func (k *loaded) Name() string { return k.Kernel.Name }

type loaded struct{ *Kernel }

// Alloc implements [device.Processor].
func (p *Processor) Alloc(bytes int64) (device.Buffer, error) {
	if p.lost != nil {
		return nil, p.lost
	}
	if bytes < 0 || bytes > 1<<32 {
		return nil, fmt.Errorf("ptx: %d bytes", bytes)
	}
	return &buffer{address: p.Memory.Alloc(int(bytes)), bytes: bytes}, nil
}

// Free implements [device.Processor].
func (p *Processor) Free(b device.Buffer) error {
	if b.(*buffer).part {
		return device.ErrPart
	}
	if !p.Memory.Free(b.(*buffer).address) {
		return errors.New("ptx: no such buffer")
	}
	return nil
}

// Part implements [device.Processor].
func (p *Processor) Part(b device.Buffer, offset, bytes int64) (device.Buffer, error) {
	if err := device.CheckPart(b, offset, bytes); err != nil {
		return nil, fmt.Errorf("ptx: %w", err)
	}
	return &buffer{b.(*buffer).address + uint64(offset), bytes, true}, nil
}

// Host implements [device.Processor]. The memory is like any other here.
func (p *Processor) Host(bytes int64) (memory []byte, release func() error, err error) {
	if p.lost != nil {
		return nil, nil, p.lost
	}
	if bytes < 1 || bytes > 1<<32 {
		return nil, nil, fmt.Errorf("ptx: %d bytes of the host", bytes)
	}
	return make([]byte, bytes), func() error { return nil }, nil
}

// Write implements [device.Processor].
func (p *Processor) Write(to device.Buffer, data []byte) error {
	if p.lost == nil && (int64(len(data)) > to.Size() || !p.Memory.Write(to.(*buffer).address, data)) {
		return fmt.Errorf("ptx: %d bytes into a buffer of %d", len(data), to.Size())
	}
	return p.lost
}

// Read implements [device.Processor].
func (p *Processor) Read(data []byte, from device.Buffer) error {
	if p.lost == nil && (int64(len(data)) > from.Size() || !p.Memory.Read(data, from.(*buffer).address)) {
		return fmt.Errorf("ptx: %d bytes of a buffer of %d", len(data), from.Size())
	}
	return p.lost
}

// Direct implements [device.Peer]: the memory of all interpreters is this process's.
func (p *Processor) Direct(other device.Processor) (bool, error) {
	o, ok := other.(*Processor)
	return ok && o != p, p.lost
}

// Send implements [device.Peer]. What arrives does not come from a kernel.
func (p *Processor) Send(other device.Processor, to, from device.Buffer) error {
	if err := device.CheckSend(to, from); err != nil {
		return fmt.Errorf("ptx: %w", err)
	}
	data := make([]byte, from.Size())
	if err := p.Read(data, from); err != nil {
		return err
	}
	if o, ok := other.(*Processor); !ok || !o.Memory.Write(to.(*buffer).address, data) {
		return fmt.Errorf("ptx: sending %d bytes to %s", len(data), other.Info().ID)
	}
	return nil
}

// Load has the processor use a module as the code of a program.
func (p *Processor) Load(program *device.Program, m *Module) {
	if p.modules == nil {
		p.modules = map[*device.Program]*Module{}
	}
	p.modules[program] = m
}

// Kernel implements [device.Processor].
func (p *Processor) Kernel(program *device.Program, name string) (device.Kernel, error) {
	m := p.modules[program]
	if m == nil {
		text, ok := program.For(p.Arch)
		if !ok {
			return nil, fmt.Errorf("ptx: program %s has no code for %s", program.Name, p.Arch)
		}
		var err error
		if m, err = Parse(text); err != nil {
			return nil, fmt.Errorf("program %s: %w", program.Name, err)
		}
		p.Load(program, m)
	}
	k := m.Kernels[name]
	if k == nil {
		return nil, fmt.Errorf("ptx: program %s has no kernel %s", program.Name, name)
	}
	return &loaded{k}, nil
}

// Submit implements [device.Processor].
func (p *Processor) Submit(launches ...device.Launch) error {
	for _, l := range launches {
		if p.lost != nil {
			return p.lost
		}
		k := l.Kernel.(*loaded).Kernel
		block, err := k.arguments(l.Args)
		if err != nil {
			return err
		}
		p.lost = k.Launch(&p.Memory, Config{
			Grid:  [3]uint32{uint32(l.Blocks[0]), uint32(l.Blocks[1]), 1},
			Block: [3]uint32{uint32(l.BlockThreads()), 1, 1}, Shared: l.Shared, Params: block, Steps: p.Steps,
		})
	}
	return p.lost
}

// arguments lays out the arguments of a launch.
func (k *Kernel) arguments(args []any) ([]byte, error) {
	if len(args) != len(k.Params) {
		return nil, fmt.Errorf("ptx: %s has %d parameters, given %d", k.Name, len(k.Params), len(args))
	}
	var block []byte
	for i, p := range k.Params {
		var v []byte
		switch arg := args[i].(type) {
		case *buffer:
			v = le.AppendUint64(nil, arg.address)
		case uint32:
			v = le.AppendUint32(nil, arg)
		case float32:
			v = le.AppendUint32(nil, math.Float32bits(arg))
		case device.Matrix:
			at := arg.Buffer.(*buffer).address
			data, err := TensorMap{
				Address: at, Size: [2]uint64{uint64(arg.Bytes) / 4, uint64(arg.Rows)}, Stride: uint64(arg.Bytes),
				Box: [2]uint32{device.BoxBytes / 4, uint32(arg.Box)}, Element: 4, Swizzle: 3,
			}.Encode()
			if err != nil {
				return nil, fmt.Errorf("ptx: argument %d of %s: %w", i, k.Name, err)
			}
			v = data[:]
		default:
			return nil, fmt.Errorf("ptx: argument %d of %s is a %T", i, k.Name, arg)
		}
		if len(v) != p.Size {
			return nil, fmt.Errorf("ptx: argument %d of %s has %d bytes, want %d", i, k.Name, len(v), p.Size)
		}
		block = append(append(block, make([]byte, p.Offset-len(block))...), v...)
	}
	return block, nil
}

// Sync implements [device.Processor].
func (p *Processor) Sync() error { return p.lost }

// Close implements [device.Processor].
func (p *Processor) Close() error { return nil }
