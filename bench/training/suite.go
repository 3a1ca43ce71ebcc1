package training

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/vector"
)

const (
	side    = 28 // of an image, in pixels
	pixels  = side * side
	classes = 10
)

// network is a network that can be trained: by plain SGD on the mean cross entropy over
// ten classes or, if it is a language model, by AdamW on that over its vocabulary.
type network struct {
	name    string
	rows    int // of a sample; a language model has but layers, batch and lr
	cols    int
	read    func(vec *vector.Implementation, image []byte, x []float32) // converts an image to a sample
	layers  []layer
	batch   int     // samples per replica and step
	lr      float64 // learning rate
	warmup  int     // steps in which the learning rate rises to lr, in equal parts
	falls   int     // steps after which the loss is a tenth below that of a guess, whatever the seed
	goal    float64 // held-out accuracy; of a language model nats a token above the floor
	formula string  // of its useful operations per sample
}

// suite lists every network, the default first. Only the transformer has biases. These
// are the networks for which the documentation has measurements of other frameworks.
var suite = []network{
	{
		name: "mlp", rows: 1, cols: pixels, read: readPixels,
		layers: []layer{fullyConnected{pixels, 512, true}, fullyConnected{512, classes, false}},
		batch:  256, lr: 0.3, falls: 8, goal: 0.97,
		formula: "2·(2·784·512) + 3·(2·512·10)",
	},
	{
		name: "mlp-big", rows: 1, cols: pixels, read: readPixels,
		layers: []layer{fullyConnected{pixels, 2048, true}, fullyConnected{2048, 2048, true}, fullyConnected{2048, classes, false}},
		batch:  256, lr: 0.2, falls: 8, goal: 0.97,
		formula: "2·(2·784·2048) + 3·(2·2048·2048 + 2·2048·10)",
	},
	{
		name: "cnn", rows: 1, cols: pixels, read: readPixels,
		layers: []layer{convolutional{28, 1, 32}, convolutional{14, 32, 64}, fullyConnected{7 * 7 * 64, 128, true}, fullyConnected{128, classes, false}},
		batch:  100, lr: 0.1, falls: 24, goal: 0.97,
		formula: "2·(2·784·9·32) + 3·(2·196·288·64 + 2·3136·128 + 2·128·10)",
	},
	{
		name: "transformer", rows: tokens, cols: 256, read: readWindows,
		layers: []layer{encoder{tokens, 256, 4, 1024}, classifier{256, classes}},
		batch:  16, lr: 0.03, warmup: 20, falls: 64, goal: 0.97,
		formula: "2·64·256·(2·768 + 3·256 + 6·1024) + 6·(2·64·64·256) + 3·(2·256·10)",
	},
}

// languageModels are of GPT-2's shape. The vocabularies of the large ones are its
// 50,257 tokens, rounded up so that rows of the head's products are even. A sample is a
// document; what is counted are its tokens.
var languageModels = []network{
	gpt{4, 128, 4, 128, 512}.network("gpt-mini", 4, 3e-3, 50, 1.5),
	gpt{12, 768, 12, 1024, 50304}.network("gpt-124m", 4, 6e-4, 200, 3),
	gpt{48, 1600, 25, 1024, 50304}.network("gpt-1.5b", 1, 3e-4, 200, 3),
}

func (l gpt) network(name string, batch int, lr float64, warmup int, goal float64) network {
	_, formula := l.flop()
	return network{name: name, layers: []layer{l}, batch: batch, lr: lr, warmup: warmup, falls: warmup, goal: goal, formula: formula}
}

// language returns the layers of a language model.
func (n network) language() (gpt, bool) {
	l, ok := n.layers[0].(gpt)
	return l, ok
}

// Models lists the networks that a device can train, the default first: on the CPU all;
// on a processor the language models, first the one that the field quotes where its
// memory allows that in fp32, else the small one.
func Models(on device.Info) []string {
	if !on.Processor() {
		return AllModels()
	}
	list := names(languageModels)
	if !on.Kind.Scheduled() && float64(quotedBytes()) <= planned(on) {
		list[0], list[1] = list[1], list[0]
	}
	return list
}

// AllModels lists the networks that some device can train: those that recognise digits,
// then the language models.
func AllModels() []string { return slices.Concat(names(suite), names(languageModels)) }

func names(list []network) (names []string) {
	for _, n := range list {
		names = append(names, n.name)
	}
	return
}

// lookup returns a network by name; one that runs on a processor, if processor is set.
func lookup(name string, processor bool) (network, error) {
	list := slices.Concat(suite, languageModels)
	if processor {
		list = languageModels
	}
	for _, n := range list {
		if n.name == name {
			return n, nil
		}
	}
	if processor && slices.Contains(AllModels(), name) {
		return network{}, fmt.Errorf("it runs on a CPU only: on a GPU it is one of %s", strings.Join(names(list), ", "))
	}
	return network{}, fmt.Errorf("it is one of %s", strings.Join(names(list), ", "))
}

// outcomes is how many a network chooses from: digits, or tokens.
func (n network) outcomes() float64 {
	if l, ok := n.language(); ok {
		return float64(l.vocab)
	}
	return classes
}

// params returns the matrices of weights of all layers, in order.
func (n network) params() (all []param) {
	for _, l := range n.layers {
		all = append(all, l.params()...)
	}
	return
}

// products counts those of a step over batch samples.
func (n network) products(batch int) (all products) {
	for i, l := range n.layers {
		all.add(l.products(int64(batch), i == 0))
	}
	return
}

// flop is the number of floating-point operations per sample: for each layer the
// forward product, the one for the gradient of its weights and, except for the first
// layer, the one for the gradient of its input. Of a language model it is that of a
// token.
func (n network) flop() float64 {
	if l, ok := n.language(); ok {
		flop, _ := l.flop()
		return flop
	}
	return float64(n.products(1).flop)
}

// readPixels maps blank paper to 0 and full ink to 1.
func readPixels(vec *vector.Implementation, image []byte, x []float32) {
	vec.Bytes(x[:pixels], image, 1.0/255)
}

// The tokens of the transformer are windows of 16×16 pixels, 3 pixels apart, 8 in a row
// and in a column; some reach beyond the border.
const (
	tokens = 8 * 8
	window = 16
	apart  = 3
	margin = (7*apart + window - side) / 2
)

// ink is what the darkest pixel of a window is, sixteen times the largest positional
// encoding. The classifier sees the mean over the tokens, in which the
// encodings are the same for all images: as large as the ink, they hide it for the first
// hundreds of steps.
const ink = 8

// readWindows makes a row of each window: its pixels from 0 to ink, plus half the
// sinusoidal positional encoding (Vaswani et al. 2017).
func readWindows(vec *vector.Implementation, image []byte, x []float32) {
	copy(x, places[:])
	var paper [pixels]float32
	readPixels(vec, image, paper[:])
	for token := range tokens {
		for y := range window {
			iy := token/8*apart + y - margin
			if iy < 0 || iy >= side {
				continue
			}
			left := token%8*apart - margin
			lo, hi := max(0, -left), min(window, side-left)
			vec.Axpy(x[token*window*window+y*window+lo:][:hi-lo], paper[iy*side+left+lo:], ink)
		}
	}
}

// places are the windows of an empty image.
var places = func() (x [tokens * window * window]float32) {
	const width = window * window
	for token := range tokens {
		for i := 0; i < width; i += 2 {
			sin, cos := math.Sincos(float64(token) / math.Pow(10000, float64(i)/width))
			x[token*width+i], x[token*width+i+1] = float32(sin/2), float32(cos/2)
		}
	}
	return
}()
