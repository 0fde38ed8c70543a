// fma and fmaf for Windows, rounded once. Those of MinGW's C library go through x87's 64 bits and round twice, which
// costs the scalar kernels and the emulated device their bits; the linker takes these instead. Vector code has
// instructions.
#include <cstdint>
#include <cstring>

namespace {

using Wide = unsigned __int128;

template <class To, class From>
To bits_of(From from) {
    To to;
    static_assert(sizeof to == sizeof from, "the same bits");
    std::memcpy(&to, &from, sizeof to);
    return to;
}

constexpr int fraction_bits = 52, bias = 1075;  // a double is mantissa · 2^(exponent - bias)
constexpr std::uint64_t hidden = std::uint64_t(1) << fraction_bits;

// |x| = mantissa · 2^exponent with 2^52 <= mantissa < 2^53, for finite x other than 0.
struct Unpacked {
    std::uint64_t mantissa;
    int exponent;

    explicit Unpacked(double x) {
        const std::uint64_t bits = bits_of<std::uint64_t>(x);
        const int biased = int(bits >> fraction_bits & 0x7FF);
        mantissa = bits & (hidden - 1);
        exponent = (biased == 0 ? 1 : biased) - bias;
        if (biased != 0) mantissa |= hidden;
        const int shift = __builtin_clzll(mantissa) - 11;
        mantissa <<= shift;
        exponent -= shift;
    }
};

// a / 2^shift; the last bit is set where bits are lost, which is all that rounding needs to know of them.
Wide shifted(Wide a, int shift) {
    if (shift == 0) return a;
    if (shift > 127) return 1;
    return a >> shift | Wide((a << (128 - shift)) != 0);
}

// The double nearest to sum · 2^exponent, of two as near the even one. 0 < sum < 2^127; exponent >= -1074 - 125, as
// of the smallest double with its one bit at 125.
std::uint64_t rounded(Wide sum, int exponent) {
    const auto high = std::uint64_t(sum >> 64);
    const int top = high != 0 ? 127 - __builtin_clzll(high) : 63 - __builtin_clzll(std::uint64_t(sum));
    int shift = top - fraction_bits;
    if (exponent + shift < 1 - bias) shift = 1 - bias - exponent;  // subnormal
    std::uint64_t mantissa;
    if (shift <= 0) {
        mantissa = std::uint64_t(sum) << -shift;
    } else {
        mantissa = std::uint64_t(sum >> shift);
        const Wide rest = sum & ((Wide(1) << shift) - 1), half = Wide(1) << (shift - 1);
        if (rest > half || (rest == half && (mantissa & 1) != 0)) ++mantissa;
    }
    const int biased = exponent + shift + bias;
    if (biased >= 0x7FF) return std::uint64_t(0x7FF) << fraction_bits;
    return (std::uint64_t(biased - 1) << fraction_bits) + mantissa;  // the mantissa carries into the exponent
}

}  // namespace

extern "C" double fma(double x, double y, double z) {
    const double product = x * y;
    // A zero factor, an infinity or a NaN: two roundings are one.
    if (x == 0 || y == 0 || !(__builtin_fabs(x) <= __DBL_MAX__ && __builtin_fabs(y) <= __DBL_MAX__)) return product + z;
    if (!(__builtin_fabs(z) <= __DBL_MAX__)) return z;
    if (z == 0) return product;
    const Unpacked a(x), b(y), c(z);
    // Both terms with their highest bit at 124 or 125, and only zeros below what they have.
    Wide left = Wide(a.mantissa) * b.mantissa << 20, right = Wide(c.mantissa) << 73;
    const int left_exponent = a.exponent + b.exponent - 20, right_exponent = c.exponent - 73;
    const int exponent = left_exponent > right_exponent ? left_exponent : right_exponent;
    left = shifted(left, exponent - left_exponent);
    right = shifted(right, exponent - right_exponent);
    const bool left_negative = (bits_of<std::int64_t>(x) ^ bits_of<std::int64_t>(y)) < 0;
    const bool right_negative = bits_of<std::int64_t>(z) < 0;
    if (left_negative == right_negative) {
        return bits_of<double>(rounded(left + right, exponent) | std::uint64_t(left_negative) << 63);
    }
    if (left == right) return 0;
    const bool negative = left > right ? left_negative : right_negative;
    const Wide difference = left > right ? left - right : right - left;
    return bits_of<double>(rounded(difference, exponent) | std::uint64_t(negative) << 63);
}

extern "C" float fmaf(float x, float y, float z) {
    // The product is exact. The sum is rounded to odd, of two doubles beside it the one whose last bit is set, so that
    // rounding to float decides as the exact sum does (Boldo and Melquiond, IEEE Transactions on Computers 57, 2008).
    const double product = double(x) * double(y), addend = double(z), sum = product + addend;
    const double of_addend = sum - product;
    const double error = (product - (sum - of_addend)) + (addend - of_addend);
    auto bits = bits_of<std::uint64_t>(sum);
    if ((error < 0 || error > 0) && (bits & 1) == 0) bits += (error > 0) == (sum > 0) ? 1 : -1;
    return float(bits_of<double>(bits));
}
