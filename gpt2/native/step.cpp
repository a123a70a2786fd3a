// The network of model.py once more, for the CPU: a few new ids of each row, behind what the cache holds.
//
// model.py is the definition, and this computes the same, under the same names. What differs is what reaches memory. A
// step has to read every weight once, and nothing else takes long; so each weight is read exactly once a call, in the
// order in which it lies in memory, by all threads, however many ids are new, and whatever comes between two products
// stays in the processor's caches. Weights are widened to float32 in registers, and all arithmetic is float32.
//
// Letters in the shape comments, as in model.py:
//     N  new ids of all rows together    S  slots of the cache    V  ids in the vocabulary
//     C  width        H  heads           D  width of a head       I  width in the MLP

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef _OPENMP
#include <omp.h>
#endif

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace {

// -- eight numbers at a time, or 16 ----------------------------------------------------------------------------------

#ifdef __AVX512F__
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t Bits __attribute__((vector_size(4 * LANES)));
typedef uint16_t HalfBits __attribute__((vector_size(2 * LANES)));
typedef int8_t Bytes __attribute__((vector_size(LANES)));

struct BFloat16 {  // the upper half of a float32
    uint16_t bits;
};
struct Float16 {
    uint16_t bits;
};

template <class To, class From>
To bits_of(const From& from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof(To));
    return to;
}

template <class T>
T read(const void* from) {  // wherever it lies
    T to;
    std::memcpy(&to, from, sizeof(T));
    return to;
}

inline float widen(float x) { return x; }
inline float widen(int8_t x) { return x; }
inline float widen(BFloat16 x) { return bits_of<float>(uint32_t(x.bits) << 16); }
inline float widen(Float16 x) {
#ifdef __F16C__
    return _cvtsh_ss(x.bits);
#else
    return float(bits_of<_Float16>(x.bits));
#endif
}

inline Floats load(const float* from) {
    Floats x = read<Floats>(from);
#ifdef __AVX2__
    asm("" : "+x"(x));  // it stays in a register: compilers rather read it again for each product
#endif
    return x;
}

inline Floats load(const BFloat16* from) {
#if defined(__AVX512F__)
    return bits_of<Floats>(_mm512_slli_epi32(_mm512_cvtepu16_epi32(read<__m256i>(from)), 16));
#elif defined(__AVX2__)
    return bits_of<Floats>(_mm256_slli_epi32(_mm256_cvtepu16_epi32(read<__m128i>(from)), 16));
#else
    return bits_of<Floats>(__builtin_convertvector(read<HalfBits>(from), Bits) << 16);
#endif
}

inline Floats load(const int8_t* from) {
#if defined(__AVX512F__)
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(read<__m128i>(from)));
#elif defined(__AVX2__)
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#else
    return __builtin_convertvector(__builtin_convertvector(read<Bytes>(from), Ints), Floats);
#endif
}

inline Floats load(const Float16* from) {
#if defined(__AVX512F__)
    return bits_of<Floats>(_mm512_cvtph_ps(read<__m256i>(from)));
#elif defined(__F16C__)
    return bits_of<Floats>(_mm256_cvtph_ps(read<__m128i>(from)));
#else
    Floats x;
    for (int lane = 0; lane < LANES; lane++) x[lane] = widen(from[lane]);
    return x;
#endif
}

// a b + c, rounded once. It is written out, because a compiler that may choose chooses differently from place to place,
// and a row's logits would depend on how many other rows there are.
inline Floats fused(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
    return _mm256_fmadd_ps(a, b, c);
#else
    for (int lane = 0; lane < LANES; lane++) c[lane] = std::fma(a[lane], b[lane], c[lane]);
    return c;
#endif
}

inline void store(float* to, Floats x) { std::memcpy(to, &x, sizeof(x)); }

inline void narrow(float x, float& to) { to = x; }
inline void narrow(float x, BFloat16& to) {  // to the nearest, ties to even
    uint32_t bits = bits_of<uint32_t>(x);
    to.bits = uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
inline void narrow(float x, Float16& to) {
#ifdef __F16C__
    to.bits = _cvtss_sh(x, 0);
#else
    to.bits = bits_of<uint16_t>(_Float16(x));
#endif
}

inline float sum(Floats x) {  // in pairs: the upper half of the lanes onto the lower one, and so on
#ifdef __AVX2__
#ifdef __AVX512F__
    const __m256 eight = _mm512_castps512_ps256(x) + _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
#else
    const __m256 eight = x;
#endif
    __m128 four = _mm256_castps256_ps128(eight) + _mm256_extractf128_ps(eight, 1);
    four += _mm_movehl_ps(four, four);
    return four[0] + four[1];
#else
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int lane = 0; lane < half; lane++) x[lane] += x[lane + half];
    }
    return x[0];
#endif
}

// exp(x) = 2^n exp(r), n the nearest whole number to x / log 2: a shift of the exponent, times a polynomial.
inline Floats exponential(Floats x) {
    // further out float32 has no normal numbers left: softmax's terms are nothing there, and a sigmoid is at its end
    x = x < -87.0f ? Floats{} - 87.0f : x;
    x = x > 88.0f ? Floats{} + 88.0f : x;
    const Floats magic = Floats{} + 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
    Floats n = (x * 1.44269504f + magic) - magic;
    Floats r = x - n * 0.693359375f + n * 2.12194440e-4f;  // log 2 in two parts, so that r loses no digits
    Floats p = Floats{} + 1.0f / 5040;
    for (float next : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) p = fused(p, r, Floats{} + next);
    return p * bits_of<Floats>((__builtin_convertvector(n, Ints) + 127) << 23);
}

// GELU by its tanh approximation, x (1 + tanh(u)) / 2, which is x times the sigmoid of 2u.
inline Floats gelu(Floats x) {
    Floats u = 0.797884561f * (x + 0.044715f * x * x * x);  // sqrt(2 / pi)
    return x / (1.0f + exponential(-2.0f * u));
}

inline void gelu(float* x, int64_t n) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store(x + i, gelu(load(x + i)));
    for (; i < n; i++) x[i] = gelu(Floats{} + x[i])[0];
}

// -- threads ----------------------------------------------------------------------------------------------------------

#ifdef _OPENMP
inline int this_thread() { return omp_get_thread_num(); }
inline int all_threads() { return omp_get_num_threads(); }
#else
inline int this_thread() { return 0; }
inline int all_threads() { return 1; }
#endif

struct Share {
    int64_t begin, end;
};

// This thread's part of n things in a row.
inline Share share(int64_t n) {
    const int64_t each = (n + all_threads() - 1) / all_threads();
    const int64_t begin = std::min(n, each * this_thread());
    return {begin, std::min(n, begin + each)};
}

// Where all threads wait for each other. OpenMP's own barrier turns for milliseconds before it gives up the processor,
// and where another program holds the one core that all wait for, that happens at every barrier. This one soon sleeps.
class Meeting {
  public:
    void wait() {
        const uint32_t before = round.load();
        if (arrived.fetch_add(1) + 1 == all_threads()) {
            arrived.store(0);
            round.fetch_add(1);
            round.notify_all();
            return;
        }
        for (int turn = 0; turn < 20000; turn++) {
            if (round.load(std::memory_order_acquire) != before) return;
#ifdef __x86_64__
            __builtin_ia32_pause();
#endif
        }
        while (round.load() == before) round.wait(before);
    }

  private:
    std::atomic<int> arrived{0};
    std::atomic<uint32_t> round{0};
};

// -- a matrix and some rows -------------------------------------------------------------------------------------------

struct Matrix {
    const void* weight;  // (out, in), so that what makes one number lies side by side
    const float* scale;  // (out,), where the weights are int8; else null
    const float* bias;   // (out,), or null
    int64_t in, out;
};

constexpr int64_t AHEAD = 1024;  // bytes: what a stream of weights will need next is asked for in time

template <class Weight>
constexpr int LINE = 64 / sizeof(Weight);  // the weights that reach the processor together

template <class Weight>
inline void fetch(const Weight* w, int64_t bytes_ahead) {  // behind the end of a matrix it does no harm
    __builtin_prefetch(reinterpret_cast<const char*>(w) + bytes_ahead);
}

// lanes[r][o] += x[r] w[o], for the next LANES numbers: row r lies at x + r * x_apart, and o at w + o * w_apart
template <int rows, int outs, class Weight>
[[gnu::always_inline]] inline void multiply(const float* x, int64_t x_apart, const Weight* w, int64_t w_apart,
                                            Floats (&lanes)[rows][outs]) {
    if constexpr (rows < outs) {  // the fewer of both wait in registers, of which there are not many
        Floats inputs[rows];
        for (int r = 0; r < rows; r++) inputs[r] = load(x + r * x_apart);
        for (int o = 0; o < outs; o++) {
            const Floats weights = load(w + o * w_apart);
            for (int r = 0; r < rows; r++) lanes[r][o] = fused(inputs[r], weights, lanes[r][o]);
        }
    } else {
        Floats weights[outs];
        for (int o = 0; o < outs; o++) weights[o] = load(w + o * w_apart);
        for (int r = 0; r < rows; r++) {
            const Floats input = load(x + r * x_apart);
            for (int o = 0; o < outs; o++) lanes[r][o] = fused(input, weights[o], lanes[r][o]);
        }
    }
}

// x . w, (in,) both, once their lanes are known
template <class Weight>
inline float total(Floats lanes, const float* x, const Weight* w, int64_t in) {
    float y = sum(lanes);
    for (int64_t i = in - in % LANES; i < in; i++) y += x[i] * widen(w[i]);  // what fills no lane
    return y;
}

// sums[r][o] = x[r] . w[o]: x (rows, in); the weights w[o] (in,) lie `apart` from each other
template <int rows, int outs, int64_t ahead = AHEAD, class Weight>
inline void products(const float* x, const Weight* w, int64_t apart, int64_t in, float (&sums)[rows][outs]) {
    constexpr int line = LINE<Weight>;
    Floats lanes[rows][outs] = {};
    int64_t i = 0;
    for (; i + line <= in; i += line) {
        for (int o = 0; o < outs; o++) fetch(w + o * apart + i, ahead);
        for (int j = 0; j < line; j += LANES) multiply(x + i + j, in, w + i + j, apart, lanes);
    }
    for (; i + LANES <= in; i += LANES) multiply(x + i, in, w + i, apart, lanes);
    for (int r = 0; r < rows; r++) {
        for (int o = 0; o < outs; o++) sums[r][o] = total(lanes[r][o], x + r * in, w + o * apart, in);
    }
}

// Number o of y, from x . w.
inline float scaled_and_shifted(const Matrix& matrix, int64_t o, float y) {
    if (matrix.scale) y *= matrix.scale[o];
    return matrix.bias ? y + matrix.bias[o] : y;
}

// Some columns of y = x w + b. Number i, of `outs`, is column first + i * step, and its weights are w[i * step * in].
template <int outs, class Weight, class Use>
struct Streams {
    const Matrix& matrix;
    const Weight* w;
    int64_t first, step;
    Use use;  // use(n, o, y) gets each number

    template <int rows>
    void times(const float* x, int64_t n) const {
        float sums[rows][outs];
        products(x + n * matrix.in, w, step * matrix.in, matrix.in, sums);
        for (int r = 0; r < rows; r++) {
            for (int i = 0; i < outs; i++) {
                const int64_t o = first + i * step;
                use(n + r, o, scaled_and_shifted(matrix, o, sums[r][i]));
            }
        }
    }
};

// Neighbouring columns of y = x w + b, from `first` on, for many rows of x. Their weights stay in the processor's caches
// while the rows pass, and while the first of them do, the weights of the next block are asked for.
template <class Weight, class Use>
struct Neighbours {
    static constexpr int OUTS = 2, GROUPS = 12, COLUMNS = GROUPS * OUTS;
    static constexpr int64_t PART = 768;  // of a row at a time, so that six rows stay in the first cache

    const Matrix& matrix;
    int64_t first;
    Use use;  // use(n, o, y) gets each number

    template <int rows>
    void times(const float* x, int64_t n) const {
        const int64_t in = matrix.in, whole = in - in % LANES;
        const int64_t ahead = n == 0 ? COLUMNS * in * int64_t(sizeof(Weight)) : 0;
        const Weight* w = static_cast<const Weight*>(matrix.weight) + first * in;
        x += n * in;
        Floats lanes[GROUPS][rows][OUTS] = {};
        for (int64_t i = 0; i < whole; i += PART) {
            for (int g = 0; g < GROUPS; g++) {
                multiply_part(x + i, w + g * OUTS * in + i, std::min(PART, whole - i), ahead, lanes[g]);
            }
        }
        for (int g = 0; g < GROUPS; g++) {
            for (int r = 0; r < rows; r++) {
                for (int i = 0; i < OUTS; i++) {
                    const int64_t column = g * OUTS + i, o = first + column;
                    const float y = total(lanes[g][r][i], x + r * in, w + column * in, in);
                    use(n + r, o, scaled_and_shifted(matrix, o, y));
                }
            }
        }
    }

    template <int rows>
    void multiply_part(const float* x, const Weight* w, int64_t n, int64_t ahead, Floats (&kept)[rows][OUTS]) const {
        Floats lanes[rows][OUTS];  // in registers
        for (int r = 0; r < rows; r++) std::copy_n(kept[r], OUTS, lanes[r]);
        int64_t i = 0;
        for (; ahead && i < n; i += LANES) {
            if (i % LINE<Weight> == 0) {
                for (int o = 0; o < OUTS; o++) fetch(w + o * matrix.in + i, ahead);
            }
            multiply(x + i, matrix.in, w + i, matrix.in, lanes);
        }
        for (; i < n; i += LANES) multiply(x + i, matrix.in, w + i, matrix.in, lanes);
        for (int r = 0; r < rows; r++) std::copy_n(lanes[r], OUTS, kept[r]);
    }
};

// kernel.times<rows>, for a number of rows that only the call knows
template <int most, class Kernel>
inline void times(const Kernel& kernel, int64_t rows, const float* x, int64_t n) {
    if (rows == most) kernel.template times<most>(x, n);
    if constexpr (most > 1) {
        if (rows < most) times<most - 1>(kernel, rows, x, n);
    }
}

// All rows of x, `most` at once and hardly fewer: a few that were left over would be too few sums to keep a core at work.
template <int most, class Kernel>
inline void evenly(const Kernel& kernel, const float* x, int64_t N) {
    int64_t n = 0;
    for (int64_t turns = (N + most - 1) / most; turns > 0; turns--) {
        const int64_t rows = (N - n + turns - 1) / turns;
        times<most>(kernel, rows, x, n);
        n += rows;
    }
}

// A share of the columns, `outs` of them at once. Their weights come from as many streams of memory, far apart and each
// in order: short streams, one row after the other at the same place, leave half of the bandwidth unused. Where x has
// more than `rows` rows, those after the first find the weights in the processor's caches.
template <int rows, int outs, class Weight, class Use>
inline void streams(const Matrix& matrix, const float* x, int64_t N, Share mine, Use use) {
    const Weight* w = static_cast<const Weight*>(matrix.weight);
    while (mine.end - mine.begin >= outs) {
        // An odd number of columns apart, and so hardly ever a multiple of 4096 bytes: what lies that far apart has to
        // share a few places in each cache.
        const int64_t step = ((mine.end - mine.begin) / outs - 1) | 1;
        for (int64_t first = mine.begin; first < mine.begin + step; first++) {
            evenly<rows>(Streams<outs, Weight, Use>{matrix, w + first * matrix.in, first, step, use}, x, N);
        }
        mine.begin += outs * step;
    }
    if constexpr (outs > 1) streams<rows, 1, Weight>(matrix, x, N, mine, use);
}

// A share of the columns, block after block.
template <class Weight, class Use>
inline void blocks(const Matrix& matrix, const float* x, int64_t N, Share mine, Use use) {
    using Columns = Neighbours<Weight, Use>;
    for (; mine.begin + Columns::COLUMNS <= mine.end; mine.begin += Columns::COLUMNS) {
        evenly<6>(Columns{matrix, mine.begin, use}, x, N);
    }
    streams<4, 3, Weight>(matrix, x, N, mine, use);
}

// y = x w + b for x (N, in): use(n, o, y) gets each number. The threads of the surrounding parallel region share the
// columns of y.
template <class Weight, class Use>
inline void linear(const Matrix& matrix, const float* x, int64_t N, Use use) {
    const Share mine = share(matrix.out);
    // rows times columns at once are 12 sums at most: with what is multiplied they fill the 16 registers of AVX2
    if (N == 1) streams<1, 4, Weight>(matrix, x, N, mine, use);
    if (N == 2) streams<2, 4, Weight>(matrix, x, N, mine, use);
    if (N == 3) streams<3, 4, Weight>(matrix, x, N, mine, use);
    if (N == 5 || N == 6) streams<6, 2, Weight>(matrix, x, N, mine, use);
    if (N == 4 || (N > 6 && N <= 32)) streams<4, 3, Weight>(matrix, x, N, mine, use);
    if (N > 32) blocks<Weight>(matrix, x, N, mine, use);
}

// -- the network ------------------------------------------------------------------------------------------------------

struct Norm {
    const float *weight, *bias;  // (C,)
};

struct Block {
    Norm ln_1;
    Matrix c_attn, attn_c_proj;
    Norm ln_2;
    Matrix c_fc, mlp_c_proj;
};

struct Network {
    int64_t n_layer, n_head, n_embd, n_inner, n_positions;
    float epsilon;
    Matrix wte;       // (V, C), embedding and head
    const void* wpe;  // (P, C), as wide as the cache
    const Block* h;
    Norm ln_f;
};

struct Call {
    int64_t rows, per_row;   // N = rows * per_row
    const int64_t* ids;      // (rows, per_row)
    const int64_t* lengths;  // (rows,): how many ids each row has in the cache
    int64_t slots;           // of the cache
    void* cache;             // (n_layer, 2, rows, H, slots, D)
    float* const* stream;    // n_layer + 1 times (N, C), filled here: what residual_stream of model.py gives; of those
                             // that nobody wants to see, every second one may lie in the same place
    float* scratch;          // (N, 2C + I), and for each thread (N, C) and (slots,); of no use when the call is over
    int64_t* places;         // (N + C,)
    int threads;
};

// (N, C) -> (N, C)
inline void layer_norm(const Norm& norm, const float* x, int64_t N, int64_t C, float epsilon, float* y) {
    for (int64_t n = 0; n < N; n++, x += C, y += C) {
        Floats sums = {}, squares = {};
        int64_t c = 0;
        for (; c + LANES <= C; c += LANES) sums += load(x + c);
        float mean = sum(sums);
        for (; c < C; c++) mean += x[c];
        mean /= C;
        for (c = 0; c + LANES <= C; c += LANES) {
            const Floats apart = load(x + c) - mean;
            squares += apart * apart;
        }
        float variance = sum(squares);
        for (; c < C; c++) variance += (x[c] - mean) * (x[c] - mean);
        const float scale = 1 / std::sqrt(variance / C + epsilon);
        for (c = 0; c < C; c++) y[c] = (x[c] - mean) * scale * norm.weight[c] + norm.bias[c];
    }
}

// x <- exp(x - max x), and what that adds up to
inline float exponentials(float* x, int64_t n) {
    float most = *std::max_element(x, x + n), total = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        Floats e = exponential(load(x + i) - most);
        store(x + i, e);
        total += sum(e);
    }
    for (; i < n; i++) total += x[i] = std::exp(x[i] - most);
    return total;
}

// One head of one new id: softmax(q kᵀ / √D) v over the S slots that it sees. q, y (D,), keys, values (S, D)
template <class Cached>
inline void attend(const float* q, const Cached* keys, const Cached* values, int64_t S, int64_t D, float* scores,
                   float* y) {
    constexpr int64_t ahead = 2048;  // bytes: further than of weights, as there is one stream only
    const float scale = 1 / std::sqrt(float(D));
    int64_t s = 0;
    for (; s + 4 <= S; s += 4) {
        float sums[1][4];
        products<1, 4, ahead>(q, keys + s * D, D, D, sums);
        for (int i = 0; i < 4; i++) scores[s + i] = sums[0][i] * scale;
    }
    for (; s < S; s++) {
        float sums[1][1];
        products(q, keys + s * D, D, D, sums);
        scores[s] = sums[0][0] * scale;
    }
    const float total = exponentials(scores, S);
    constexpr int WIDE = 64 / LANES;  // registers: what one head of GPT-2 is wide
    int64_t d = 0;
    for (; d + WIDE * LANES <= D; d += WIDE * LANES) {
        Floats sums[WIDE] = {};
        for (s = 0; s < S; s++) {
            for (int line = 0; line < WIDE * LANES; line += LINE<Cached>) fetch(values + s * D + d + line, ahead);
            const Floats score = Floats{} + scores[s];
            for (int i = 0; i < WIDE; i++) sums[i] = fused(score, load(values + s * D + d + i * LANES), sums[i]);
        }
        for (int i = 0; i < WIDE; i++) store(y + d + i * LANES, sums[i] / total);
    }
    for (; d < D; d++) {
        float one = 0;
        for (s = 0; s < S; s++) one += scores[s] * widen(values[s * D + d]);
        y[d] = one / total;
    }
}

template <class Weight, class Cached>
void residual_stream(const Network& model, const Call& call) {
    const int64_t C = model.n_embd, H = model.n_head, D = C / H, I = model.n_inner;
    const int64_t T = call.per_row, N = call.rows * T, slots = call.slots;
    float* q = call.scratch;       // (N, C)
    float* mixed = q + N * C;      // (N, C)
    float* inner = mixed + N * C;  // (N, I)
    int64_t* first = call.places;  // (N,): where an id's first number lies in a layer's keys, or values
    int64_t* further = first + N;  // (C,): and how much further on the others

    Meeting meeting;
#pragma omp parallel num_threads(call.threads)
    {
        // every thread normalises for itself, (N, C): that is cheaper than to wait for one
        float* normed = inner + N * I + this_thread() * (N * C + slots);
        float* scores = normed + N * C;  // (slots,)
        const Share ids = share(N), heads = share(N * H), width = share(C), mine = share(I);  // columns of the MLP
        for (int64_t n = ids.begin; n < ids.end; n++) {
            float* x = call.stream[0] + n * C;
            const int64_t id = call.ids[n];
            const int64_t position = std::min(call.lengths[n / T] + n % T, model.n_positions - 1);
            const Weight* token = static_cast<const Weight*>(model.wte.weight) + id * C;
            const Cached* wpe = static_cast<const Cached*>(model.wpe) + position * C;
            const float scale = model.wte.scale ? model.wte.scale[id] : 1;
            for (int64_t c = 0; c < C; c++) x[c] = scale * widen(token[c]) + widen(wpe[c]);
            first[n] = (n / T * H * slots + call.lengths[n / T] + n % T) * D;
        }
        for (int64_t c = width.begin; c < width.end; c++) further[c] = c / D * slots * D + c % D;
        meeting.wait();
        for (int64_t layer = 0; layer < model.n_layer; layer++) {
            const Block& block = model.h[layer];
            const int64_t size = call.rows * H * slots * D;
            Cached* keys = static_cast<Cached*>(call.cache) + layer * 2 * size;  // (rows, H, slots, D)
            Cached* values = keys + size;
            const float* x = call.stream[layer];  // (N, C)
            float* y = call.stream[layer + 1];    // (N, C)

            layer_norm(block.ln_1, x, N, C, model.epsilon, normed);
            linear<Weight>(block.c_attn, normed, N, [&](int64_t n, int64_t o, float number) {
                if (o < C) {
                    q[n * C + o] = number;
                    return;
                }
                Cached* side = o < 2 * C ? keys : values;
                narrow(number, side[first[n] + further[o < 2 * C ? o - C : o - 2 * C]]);
            });
            meeting.wait();
            for (int64_t task = heads.begin; task < heads.end; task++) {
                const int64_t n = task / H, head = task % H;
                const int64_t seen = call.lengths[n / T] + n % T + 1;
                const int64_t begin = (n / T * H + head) * slots * D;
                const int64_t column = n * C + head * D;
                attend(q + column, keys + begin, values + begin, seen, D, scores, mixed + column);
            }
            meeting.wait();
            linear<Weight>(block.attn_c_proj, mixed, N, [&](int64_t n, int64_t o, float number) {
                y[n * C + o] = x[n * C + o] + number;
            });
            meeting.wait();
            layer_norm(block.ln_2, y, N, C, model.epsilon, normed);
            linear<Weight>(block.c_fc, normed, N, [&](int64_t n, int64_t o, float number) {
                inner[n * I + o] = number;
            });
            for (int64_t n = 0; n < N; n++) gelu(inner + n * I + mine.begin, mine.end - mine.begin);
            meeting.wait();
            linear<Weight>(block.mlp_c_proj, inner, N, [&](int64_t n, int64_t o, float number) {
                y[n * C + o] += number;
            });
            meeting.wait();
        }
    }
}

// x (N, C) -> logits (N, V)
template <class Weight>
void head(const Network& model, const float* x, int64_t N, float* logits, int threads) {
#pragma omp parallel num_threads(threads)
    linear<Weight>(model.wte, x, N, [&](int64_t n, int64_t o, float number) { logits[n * model.wte.out + o] = number; });
}

}  // namespace

// What Python calls. WEIGHT and CACHED are given on the compiler's command line: a library for each type of weights.
extern "C" {

void residual_stream(const Network* model, const Call* call) noexcept { residual_stream<WEIGHT, CACHED>(*model, *call); }

void ln_f(const Network* model, const float* x, int64_t N, float* y) noexcept {
    layer_norm(model->ln_f, x, N, model->n_embd, model->epsilon, y);
}

void head(const Network* model, const float* x, int64_t N, float* logits, int threads) noexcept {
    head<WEIGHT>(*model, x, N, logits, threads);
}

// A whole step: logits (rows, keep, V) behind the last `keep` of each row's n new ids; NaN where it has fewer
void extend(const Network* model, const Call* call, const int64_t* n, int64_t keep, float* logits) noexcept {
    residual_stream<WEIGHT, CACHED>(*model, *call);
    const int64_t C = model->n_embd;
    float* hidden = call->scratch;  // (rows, keep, C)
    for (int64_t r = 0; r < call->rows; r++) {
        for (int64_t t = n[r] - keep; t < n[r]; t++, hidden += C) {
            const float* x = call->stream[model->n_layer] + (r * call->per_row + t) * C;
            if (t < 0) std::fill_n(hidden, C, NAN);
            else layer_norm(model->ln_f, x, 1, C, model->epsilon, hidden);
        }
    }
    head<WEIGHT>(*model, call->scratch, call->rows * keep, logits, call->threads);
}
}
