package results

import (
	"slices"
	"strings"
)

// OwnKernels labels a figure of a GPU whose matrix products no library of its vendor
// computed: with one the card may do better.
const OwnKernels = "lower bound of the card: own kernels"

// Products says what multiplied the matrices of a row that GPUs computed: the vendor's
// library with its version, or [OwnKernels]. Own kernels that were no slower than a
// library when both were tried are no lower bound, and are named beside it. Products is
// empty for rows of other devices, rows without such work, and those whose kernels the
// record does not have.
func (r *Record) Products(row *Row) string {
	if _, ok := row.Metrics[FlopRate]; !ok {
		return ""
	}
	impls := strings.Split(row.Impl, ", ")
	kernel := gemm + row.Precision()
	var all []string
	for _, id := range CardsOf(row.Device) {
		if r.Node.Device(id).Kind != KindGPU {
			return ""
		}
		i := slices.IndexFunc(r.Kernels, func(k Kernel) bool { return k.Device == id && k.Name == kernel })
		if i < 0 {
			return ""
		}
		by := r.Kernels[i].products(impls)
		if by != "" && !slices.Contains(all, by) {
			all = append(all, by)
		}
	}
	return strings.Join(all, "; ")
}

// products is [Record.Products] of a kernel on one GPU.
func (k *Kernel) products(impls []string) string {
	i := slices.IndexFunc(k.Impls, func(im Impl) bool { return slices.Contains(impls, im.Name) })
	if i < 0 {
		return ""
	}
	own := k.Impls[i]
	if own.Library != "" {
		return Line(own.Library, mostQuoted)
	}
	for _, im := range k.Impls {
		if im.Library != "" && im.Rate <= own.Rate {
			return "own kernels, no slower than " + Line(im.Library, mostQuoted)
		}
	}
	return OwnKernels
}
