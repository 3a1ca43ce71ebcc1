// Package fakecuda plays GPUs to whoever loads a libcuda.so.1 or a libamdhip64.so
// that it builds: the library hands each call to the test over a socket, and
// kernels are interpreted by package ptx. So the way from Go through the driver's
// functions to a kernel's answer is tested without a card, in worker processes
// too.
//
// Nothing here interprets AMD's code. A code object of a program that [ServeHIP]
// knows stands for the PTX of that program.
package fakecuda

import (
	_ "embed" // the libraries' sources
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/ptx"
)

//go:embed libcuda.c.in
var source string

//go:embed libblas.c.in
var blas string

// Build compiles NVIDIA's library into a folder, which LD_LIBRARY_PATH or a path
// may then name, and returns its path; with "-DCUDA11" it has no tensor maps. It
// needs a C compiler.
func Build(dir string, flags ...string) (string, error) {
	return Compile(dir, "libcuda.so.1", source, flags...)
}

// BuildHIP compiles AMD's, as of ROCm 6; with "-DROCM5" it is as of ROCm 5.
func BuildHIP(dir string, flags ...string) (string, error) {
	return Compile(dir, "libamdhip64.so.6", source, append(flags, "-DHIP")...)
}

// BuildCublasLt and BuildRocBLAS compile the vendors' libraries of matrix products,
// which compute on the host what they are asked for: see libblas.c.in.
func BuildCublasLt(dir string) (string, error) { return Compile(dir, "libcublasLt.so.12", blas) }

func BuildRocBLAS(dir string) (string, error) {
	return Compile(dir, "librocblas.so.4", blas, "-DROCBLAS")
}

// Compile makes a shared library. A process that has loaded it by its path gets it
// by its name too, whatever else of that name is on the machine.
func Compile(dir, name, code string, flags ...string) (string, error) {
	text, library := filepath.Join(dir, name+".c"), filepath.Join(dir, name)
	if err := os.WriteFile(text, []byte(code), 0o600); err != nil {
		return "", err
	}
	args := append([]string{"-shared", "-fPIC", "-O1", "-pthread", "-Wl,-soname," + name, "-o", library, text, "-lm", "-ldl"}, flags...)
	out, err := exec.Command("cc", args...).CombinedOutput() // #nosec G204 -- a compiler on our own source
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return library, nil
}

// Card is one GPU. Its fields are set before it is used, but for Fail.
type Card struct {
	Name, PCI    string
	UUID         [16]byte
	Memory       int64
	Major, Minor int           // of the compute capability of NVIDIA's
	Arch         string        // of AMD's, as HIP has it: gfx942:sramecc+:xnack-
	Launch       time.Duration // how long a launch takes instead of being interpreted; 0: interpret it
	Steps        int64         // of the interpreter
	Refuse       string        // PTX with this text in it is refused: invalid PTX
	Link         int           // the cards of a link other than 0 reach each other's memory
	Late         bool          // a launch that fails succeeds, and the next call says so: as a GPU does

	Sent    int64 // bytes that it copied to others
	reach   map[*Card]bool
	memory  ptx.Memory
	used    int64
	sizes   map[uint64]int64
	busy    time.Time // when the last launch ends
	failure int       // the context is lost, by this error

	mu   sync.Mutex
	next []int // results of the next launches, before the card's own
}

// Fail has the launch after the next n fail with an error of the driver, by
// which its context is lost.
func (c *Card) Fail(n, code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = append(make([]int, n), code)
}

// Codes of the driver.
const (
	outOfMemory    = 2
	noDevice       = 100
	invalidDevice  = 101
	invalidImage   = 200
	noBinary       = 209
	invalidPTX     = 218
	notFound       = 500
	illegalAddress = 700
	outOfResources = 701
	timeout        = 702
	misaligned     = 716
	illegalUse     = 715
	launchFailed   = 719
	invalidValue   = 1
	peerRefused    = 217
	peerThere      = 704
)

var errorTexts = map[int][2]string{
	invalidValue:   {"CUDA_ERROR_INVALID_VALUE", "invalid argument"},
	outOfMemory:    {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
	3:              {"CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
	46:             {"CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
	noDevice:       {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
	201:            {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
	peerRefused:    {"CUDA_ERROR_PEER_ACCESS_UNSUPPORTED", "peer access is not supported between these two devices"},
	214:            {"CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
	invalidPTX:     {"CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
	notFound:       {"CUDA_ERROR_NOT_FOUND", "named symbol not found"},
	illegalAddress: {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
	outOfResources: {"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
	timeout:        {"CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
	illegalUse:     {"CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"},
	misaligned:     {"CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
	launchFailed:   {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
	999:            {"CUDA_ERROR_UNKNOWN", "unknown error"},
}

// hipTexts are those of HIP.
var hipTexts = map[int][2]string{
	invalidValue:   {"hipErrorInvalidValue", "invalid argument"},
	outOfMemory:    {"hipErrorOutOfMemory", "out of memory"},
	3:              {"hipErrorNotInitialized", "initialization error"},
	noDevice:       {"hipErrorNoDevice", "no ROCm-capable device is detected"},
	invalidDevice:  {"hipErrorInvalidDevice", "invalid device ordinal"},
	invalidImage:   {"hipErrorInvalidImage", "device kernel image is invalid"},
	201:            {"hipErrorInvalidContext", "invalid device context"},
	peerRefused:    {"hipErrorPeerAccessUnsupported", "peer access is not supported between these two devices"},
	noBinary:       {"hipErrorNoBinaryForGpu", "no kernel image is available for execution on the device"},
	214:            {"hipErrorECCNotCorrectable", "uncorrectable ECC error encountered"},
	notFound:       {"hipErrorNotFound", "named symbol not found"},
	illegalAddress: {"hipErrorIllegalAddress", "an illegal memory access was encountered"},
	outOfResources: {"hipErrorLaunchOutOfResources", "out of resources"},
	timeout:        {"hipErrorLaunchTimeOut", "the launch timed out and was terminated"},
	launchFailed:   {"hipErrorLaunchFailure", "unspecified launch failure"},
}

// Driver is the cards of a machine, served until Close.
type Driver struct {
	Cards    []*Card
	Socket   string // what PERWATT_FAKE_CUDA or PERWATT_FAKE_HIP must name
	listener net.Listener
	texts    map[int][2]string
	programs []*device.Program // of which AMD's cards know the code objects

	mu    sync.Mutex
	fault error
}

// Serve serves NVIDIA's cards on a socket in a folder.
func Serve(dir string, cards ...*Card) (*Driver, error) {
	return (&Driver{Cards: cards, Socket: filepath.Join(dir, "cuda"), texts: errorTexts}).start()
}

// ServeHIP serves AMD's cards, which load the code objects of some programs.
func ServeHIP(dir string, programs []*device.Program, cards ...*Card) (*Driver, error) {
	return (&Driver{Cards: cards, Socket: filepath.Join(dir, "hip"), texts: hipTexts, programs: programs}).start()
}

func (d *Driver) start() (*Driver, error) {
	cards := d.Cards
	for _, c := range cards {
		c.sizes, c.reach = map[uint64]int64{}, map[*Card]bool{}
	}
	var err error
	if d.listener, err = net.Listen("unix", d.Socket); err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := d.listener.Accept()
			if err != nil {
				return
			}
			go d.serve(conn)
		}
	}()
	return d, nil
}

// Close ends the service; who calls the library then gets CUDA_ERROR_UNKNOWN.
func (d *Driver) Close() error { return d.listener.Close() }

// Fault is the last fault of a kernel, which says more than the driver does.
func (d *Driver) Fault() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fault
}

// question and answer are the structures of libcuda.c.in.
type (
	question struct{ Op, A, B, C, N uint64 }
	answer   struct {
		Result  int64
		X, Y, N uint64
	}
)

// process is what one process has loaded; handles are indexes from 1.
type process struct {
	modules   []*ptx.Module
	functions []*ptx.Kernel
}

func (d *Driver) serve(conn net.Conn) {
	defer conn.Close()
	var p process
	for {
		var q question
		if binary.Read(conn, binary.LittleEndian, &q) != nil {
			return
		}
		data := make([]byte, q.N)
		if _, err := io.ReadFull(conn, data); err != nil {
			return
		}
		a, out := d.answer(&p, q, data)
		a.N = uint64(len(out))
		if binary.Write(conn, binary.LittleEndian, a) != nil {
			return
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// Operations of libcuda.c.in.
const (
	opInit = iota
	opName
	opUUID
	opPCI
	opMemory
	opAttribute
	opAlloc
	opFree
	opWrite
	opRead
	opLoad
	opFunction
	opLaunch
	opSync
	opErrorName
	opErrorText
	opShared
	opArch
	opEncode
	opReach
	opSend
	opRoom
)

func (d *Driver) answer(p *process, q question, data []byte) (a answer, out []byte) {
	switch q.Op {
	case opInit:
		if a.X = uint64(len(d.Cards)); a.X == 0 {
			a.Result = noDevice
		}
		return a, nil
	case opErrorName, opErrorText:
		text, known := d.texts[int(q.A)]
		if !known {
			a.Result = invalidValue
		}
		return a, []byte(text[q.Op-opErrorName])
	case opEncode:
		if out = encode(data); out == nil {
			a.Result = invalidValue
		}
		return a, out
	}
	if q.A >= uint64(len(d.Cards)) {
		return answer{Result: invalidDevice}, nil
	}
	card := d.Cards[q.A]
	if q.Op == opReach || q.Op == opSend {
		return d.peers(q, data), nil
	}
	card.mu.Lock()
	defer card.mu.Unlock()
	switch q.Op {
	case opName:
		return a, []byte(card.Name)
	case opUUID:
		return a, card.UUID[:]
	case opPCI:
		return a, []byte(card.PCI)
	case opMemory:
		a.X = uint64(card.Memory)
		return a, nil
	case opRoom:
		a.X, a.Y = uint64(card.Memory-card.used), uint64(card.Memory)
		return a, nil
	case opArch:
		return a, []byte(card.Arch)
	case opAttribute:
		a.X = map[uint64]uint64{16: 1, 63: 1, 75: uint64(card.Major), 76: uint64(card.Minor), 97: 227 << 10}[q.B]
		return a, nil
	}
	if card.failure != 0 { // until the process ends
		return answer{Result: int64(card.failure)}, nil
	}
	switch q.Op {
	case opAlloc:
		if card.used+int64(q.B) > card.Memory {
			return answer{Result: outOfMemory}, nil
		}
		a.X = card.memory.Alloc(int(q.B))
		card.sizes[a.X] = int64(q.B)
		card.used += int64(q.B)
	case opFree:
		if !card.memory.Free(q.B) {
			return answer{Result: invalidValue}, nil
		}
		card.used -= card.sizes[q.B]
	case opWrite:
		if card.wait(); !card.memory.Write(q.B, data) {
			a.Result = invalidValue
		}
	case opRead:
		card.wait()
		if out = make([]byte, min(q.C, 1<<32)); !card.memory.Read(out, q.B) {
			a.Result, out = invalidValue, nil
		}
	case opLoad:
		text := string(data)
		if d.programs != nil {
			if text, a.Result = d.translate(card, text); a.Result != 0 {
				return a, nil
			}
		}
		m, err := ptx.Parse(text)
		if card.Refuse != "" && strings.Contains(text, card.Refuse) {
			err = fmt.Errorf("ptxas fatal: %q is refused", card.Refuse)
		}
		if err != nil {
			return answer{Result: invalidPTX}, []byte(err.Error())
		}
		p.modules = append(p.modules, m)
		a.X = uint64(len(p.modules))
	case opFunction:
		k := p.modules[q.B-1].Kernels[string(data)]
		if k == nil {
			return answer{Result: notFound}, nil
		}
		p.functions = append(p.functions, k)
		a.X, a.Y = uint64(len(p.functions)), uint64(len(k.Params))
		for _, param := range k.Params {
			out = binary.LittleEndian.AppendUint32(out, uint32(param.Size))
			out = binary.LittleEndian.AppendUint32(out, uint32(param.Offset))
		}
	case opLaunch:
		if a.Result = int64(d.launch(card, p.functions[q.B-1], data)); card.Late && card.failure != 0 {
			a.Result = 0
		}
	case opSync:
		card.wait()
	}
	return a, out
}

// peers answers what concerns card A and another, B. opReach asks whether A reaches the
// memory of B or, with C, lets it, once. opSend copies from A to B: data has the two
// addresses and the number of bytes. Cards of no link are copied between too, as a driver
// does by way of the host.
func (d *Driver) peers(q question, data []byte) (a answer) {
	if q.B >= uint64(len(d.Cards)) || q.A == q.B {
		return answer{Result: invalidDevice}
	}
	from, to := d.Cards[q.A], d.Cards[q.B]
	for _, c := range []*Card{d.Cards[min(q.A, q.B)], d.Cards[max(q.A, q.B)]} { // in one order
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.failure != 0 {
			return answer{Result: int64(c.failure)}
		}
	}
	linked := from.Link != 0 && from.Link == to.Link
	if q.Op == opReach {
		switch {
		case q.C == 0 && linked:
			a.X = 1
		case q.C != 0 && !linked:
			a.Result = peerRefused
		case q.C != 0 && from.reach[to]:
			a.Result = peerThere
		case q.C != 0:
			from.reach[to] = true
		}
		return a
	}
	bytes := make([]byte, min(binary.LittleEndian.Uint64(data[16:]), 1<<32))
	if !from.memory.Read(bytes, binary.LittleEndian.Uint64(data)) || !to.memory.Write(binary.LittleEndian.Uint64(data[8:]), bytes) {
		a.Result = invalidValue
	}
	from.Sent += int64(len(bytes))
	return a
}

// encode makes a tensor map of what cuTensorMapEncodeTiled is told, as
// libcuda.c.in sends it: nil for what the driver refuses and for what the
// interpreter does not know.
func encode(data []byte) []byte {
	var q struct {
		Kind, Rank, At, Interleave, Swizzle, Promotion, Fill uint64
		Size                                                 [5]uint64
		Box                                                  [5][2]uint32 // and the step from element to element
		Strides                                              [7]uint64
	}
	elements := [...]uint32{1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4} // bytes, by CUtensorMapDataType
	if _, err := binary.Decode(data, binary.LittleEndian, &q); err != nil || q.Kind >= uint64(len(elements)) ||
		q.Rank != 2 || q.Interleave != 0 || q.Promotion > 3 || q.Fill != 0 || q.Box[0][1] != 1 || q.Box[1][1] != 1 {
		return nil
	}
	m, err := ptx.TensorMap{
		Address: q.At, Size: [2]uint64(q.Size[:2]), Stride: q.Strides[0], Box: [2]uint32{q.Box[0][0], q.Box[1][0]},
		Element: elements[q.Kind], Swizzle: uint32(min(q.Swizzle, 4)),
	}.Encode()
	if err != nil {
		return nil
	}
	return m[:]
}

// translate returns the PTX of the program that a code object is of.
func (d *Driver) translate(card *Card, object string) (text string, result int64) {
	arch, _, _ := strings.Cut(card.Arch, ":")
	for _, p := range d.programs {
		for name, code := range p.Code {
			if code.Text() != object {
				continue
			}
			if text, ok := p.For("sm_80"); ok && name == arch {
				return text, 0
			}
			return "", noBinary
		}
	}
	return "", invalidImage
}

// wait waits for the launches of a card that takes its time.
func (c *Card) wait() { time.Sleep(time.Until(c.busy)) }

func (d *Driver) launch(card *Card, k *ptx.Kernel, data []byte) int {
	if len(card.next) > 0 {
		code := card.next[0]
		card.next = card.next[1:]
		if code != 0 {
			card.failure = code
			return code
		}
	}
	if card.Launch > 0 {
		if now := time.Now(); card.busy.Before(now) {
			card.busy = now
		}
		card.busy = card.busy.Add(card.Launch)
		return 0
	}
	var dims [8]uint32
	for i := range dims {
		dims[i] = binary.LittleEndian.Uint32(data[4*i:])
	}
	err := k.Launch(&card.memory, ptx.Config{Grid: [3]uint32(dims[:3]), Block: [3]uint32(dims[3:6]), Shared: int(dims[6]), Params: data[32:], Steps: card.Steps})
	if err == nil {
		return 0
	}
	d.mu.Lock()
	d.fault = err
	d.mu.Unlock()
	fault, _ := errors.AsType[*ptx.Fault](err)
	code := map[ptx.FaultKind]int{
		ptx.IllegalAddress: illegalAddress, ptx.Misaligned: misaligned, ptx.IllegalUse: illegalUse,
		ptx.Timeout: timeout, ptx.Deadlock: timeout, ptx.Resources: outOfResources,
	}[fault.Kind]
	if code == 0 {
		code = launchFailed // a GPU would have said nothing
	}
	if code != outOfResources {
		card.failure = code
	}
	return code
}
