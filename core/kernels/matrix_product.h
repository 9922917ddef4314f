#pragma once

#include <ATen/core/Tensor.h>

namespace thaw {

// Note [Matrix products]
// LibTorch multiplies float32 matrices with MKL, and oneDNN, which comes with it, is the faster
// one: by a tenth on two of the processors measured (77 to 82 GFLOP/s against 64 to 77 on one core
// with AVX2, 106 to 113 against 95 to 100 on one with AVX-512, the best readings of a machine that
// had other work too, MiniLM's and SmolLM2's layers, whichever way the weight lies), by 2.3 on the
// third, where MKL does not use the widest instructions (485 against 210 on two cores). So a weight
// is multiplied as it lies, [out, in], forward and for the gradient of its input, and nobody keeps
// a transposed copy of one. In bfloat16 LibTorch takes oneDNN itself. The operator is the one that
// torch.compile emits (mkldnn::_linear_pointwise); where LibTorch was built without it, at::mm
// serves.
//   For few rows (a token that is written, a small batch) preparing the right factor costs more
// than it gains. Forward it must be turned around, a weight lying [out, in]: that pays from some
// 100 rows on. For the gradient of an input it lies as it is wanted, and pays from 32 on.
//   The gradient of a weight sums over the rows: gradient^T times input. oneDNN turns the right
// factor itself, but wants the left one as it is: that one is copied, transposed. The pass costs
// the more the narrower the input, 2 to 8 % of the product from 384 columns on. With at least 128
// outputs and 64 rows, product and LibTorch's copy took from 6 % less to 9 % more than MKL's
// product where MKL is fast; half as long is to be expected where it is slow, and was not measured.
// Layers of one input whose weights are all trained are one product.
//   The choice goes by shapes alone, never by a clock: how a product adds up, and so the last bits,
// must be the same on all ranks and after a resume.
//   Measured by cluster/benchmarks/product_choice.py.

// Note [Products kept]
// oneDNN writes code for each product of a shape that it has not kept. Layers of a network share
// shapes, but batches of ragged samples hardly ever have the same number of rows again, so what
// oneDNN keeps, 1,024 things, is what came last and not what will come: the products of SmolLM2's
// four kinds of layers, forward and back, took 276 MiB for 48 numbers of rows (from 200 on, in one
// thread with AVX2) and grew on. `keep_few_products` bounds that to kProductsKept things, 21 MiB
// there: twice what a step of a network of like layers asks for. A shape that comes in the next
// layer is still there, so a step prepares each once, and prepared again it is the same code: no
// bit depends on it. MiniLM's head on BANKING77, whose batches differ in length, took no more
// processor time so (16.7 and 18.2 s in 100 steps of 32, beside 18.1, 16.7 and 17.7 s with all
// kept; one thread, AVX2, other work on the machine). Networks of convolutions have hundreds of
// shapes, the same in each step, and keep all: for them nobody calls it. Nor does the library,
// whose environment is another's.

/// Things that `keep_few_products` has oneDNN keep.
constexpr int kProductsKept = 64;

/// Bounds what this process keeps of products whose shapes will not come again (Note [Products
/// kept]), unless the user's ONEDNN_PRIMITIVE_CACHE_CAPACITY says how much. oneDNN looks once, at
/// the first product: call it before that.
void keep_few_products();

/// Whether `onednn_product` is faster than at::mm for `left` [m, k] and `right` [k, n] of this
/// kind.
bool prefers_onednn(const at::Tensor& left, const at::Tensor& right);

/// left [m, k] times right [k, n], without autograd, for factors that prefer it. `right` may be a
/// transposed view.
at::Tensor onednn_product(const at::Tensor& left, const at::Tensor& right);

/// left [m, k] times right [k, n], without autograd, by whichever is faster.
at::Tensor matrix_product(const at::Tensor& left, const at::Tensor& right);

/// Whether `summed_product` goes by oneDNN for these.
bool sums_by_onednn(const at::Tensor& left, const at::Tensor& right);

/// The transpose of left [k, m] times right [k, n], without autograd, by whichever is faster: the
/// gradient of a weight, summed over k rows. In the type of the two, or in `type` as `product_in`.
at::Tensor summed_product(at::ScalarType type, const at::Tensor& left, const at::Tensor& right);

/// The transpose of `matrix` [rows, columns], in memory. float32 on the host; a view of some
/// columns is read where it lies.
at::Tensor transposed_copy(const at::Tensor& matrix);

/// left [m, k] times right [k, n], without autograd, in the type of the two; in `type` where a GPU
/// gives float32 of bfloat16 factors, so that its sums are not rounded and no pass converts them.
at::Tensor product_in(at::ScalarType type, const at::Tensor& left, const at::Tensor& right);

}  // namespace thaw
