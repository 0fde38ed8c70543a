// Two vectors as one lane type, for the functions that draws are made of: every operation is done on one, then on the
// other, which gives the processor two independent chains of instructions to mix. Included by noise.hpp, after the
// lane types.
#pragma once

#include "../core/lanes_plain.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class T>
struct Twice {
    using Half = T;
    T first, second;
};

template <class R>
struct Lane<Twice<R>> {
    using Half = R;
    using Real = typename Lane<R>::Real;
    using Bits = Twice<typename Lane<R>::Bits>;
    using Word = Twice<typename Lane<R>::Word>;
    static constexpr int width = 2 * Lane<R>::width;
    static constexpr Real exponent_unit = Lane<R>::exponent_unit;
};

// What is not specialized for a lane type is one of these.
template <class R>
ASGD_FN R set1(typename Lane<R>::Real x) {
    const auto half = set1<typename R::Half>(x);
    return {half, half};
}
template <class Bits>
ASGD_FN Bits set1_bits(uint64_t x) {
    const auto half = set1_bits<typename Bits::Half>(x);
    return {half, half};
}
template <class Word>
ASGD_FN Word word_set1(uint32_t x) {
    const auto half = word_set1<typename Word::Half>(x);
    return {half, half};
}
template <class R>
ASGD_FN typename Lane<R>::Word replicate_words(uint32_t first) {
    using Half = typename R::Half;
    return {replicate_words<Half>(first), replicate_words<Half>(first + uint32_t(Lane<Half>::width))};
}

template <class R>
ASGD_FN void store(typename Lane<R>::Real* p, Twice<R> x) {
    store(p, x.first);
    store(p + Lane<R>::width, x.second);
}
template <class B, class BitsReal>
ASGD_FN void store_bits(BitsReal* p, Twice<B> x) {
    store_bits(p, x.first);
    store_bits(p + sizeof(B) / sizeof(BitsReal), x.second);
}

template <class T>
ASGD_FN Twice<T> operator+(Twice<T> a, Twice<T> b) {
    return {a.first + b.first, a.second + b.second};
}
template <class T>
ASGD_FN Twice<T> operator-(Twice<T> a, Twice<T> b) {
    return {a.first - b.first, a.second - b.second};
}
template <class T>
ASGD_FN Twice<T> operator*(Twice<T> a, Twice<T> b) {
    return {a.first * b.first, a.second * b.second};
}
template <class T>
ASGD_FN Twice<T> operator/(Twice<T> a, Twice<T> b) {
    return {a.first / b.first, a.second / b.second};
}
template <class T>
ASGD_FN Twice<T> operator&(Twice<T> a, Twice<T> b) {
    return {a.first & b.first, a.second & b.second};
}
template <class T>
ASGD_FN Twice<T> operator|(Twice<T> a, Twice<T> b) {
    return {a.first | b.first, a.second | b.second};
}
template <class T>
ASGD_FN Twice<T> operator^(Twice<T> a, Twice<T> b) {
    return {a.first ^ b.first, a.second ^ b.second};
}
template <class T>
ASGD_FN Twice<T> operator<<(Twice<T> a, int n) {
    return {a.first << n, a.second << n};
}
template <class T>
ASGD_FN Twice<T> operator>>(Twice<T> a, int n) {
    return {a.first >> n, a.second >> n};
}
template <class T>
ASGD_FN Twice<T> fma(Twice<T> a, Twice<T> b, Twice<T> c) {
    return {fma(a.first, b.first, c.first), fma(a.second, b.second, c.second)};
}
template <class T>
ASGD_FN Twice<T> sqrt(Twice<T> a) {
    return {sqrt(a.first), sqrt(a.second)};
}

template <class T>
ASGD_FN auto as_bits(Twice<T> x) -> Twice<decltype(as_bits(x.first))> {
    return {as_bits(x.first), as_bits(x.second)};
}
template <class T>
ASGD_FN auto as_real(Twice<T> x) -> Twice<decltype(as_real(x.first))> {
    return {as_real(x.first), as_real(x.second)};
}
template <class T>
ASGD_FN auto signed_to_real(Twice<T> x) -> Twice<decltype(signed_to_real(x.first))> {
    return {signed_to_real(x.first), signed_to_real(x.second)};
}
template <class T>
ASGD_FN auto unsigned_to_real(Twice<T> x) -> Twice<decltype(unsigned_to_real(x.first))> {
    return {unsigned_to_real(x.first), unsigned_to_real(x.second)};
}
template <class T>
ASGD_FN auto exponent_to_real(Twice<T> x) -> Twice<decltype(exponent_to_real(x.first))> {
    return {exponent_to_real(x.first), exponent_to_real(x.second)};
}
template <class B, class T>
ASGD_FN void swap_where_bit0(Twice<B> b, Twice<T>& x, Twice<T>& y) {
    swap_where_bit0(b.first, x.first, y.first);
    swap_where_bit0(b.second, x.second, y.second);
}

template <class W>
ASGD_FN void mul_high_low(uint32_t m, Twice<W> a, Twice<W>& high, Twice<W>& low) {
    mul_high_low(m, a.first, high.first, low.first);
    mul_high_low(m, a.second, high.second, low.second);
}
template <class W>
ASGD_FN Twice<W> xor2(Twice<W> a, Twice<W> b) {
    return {xor2(a.first, b.first), xor2(a.second, b.second)};
}
template <class W>
ASGD_FN Twice<W> xor3(Twice<W> a, Twice<W> b, Twice<W> c) {
    return {xor3(a.first, b.first, c.first), xor3(a.second, b.second, c.second)};
}
template <class W, class R>
ASGD_FN typename Lane<Twice<R>>::Bits word_bits(Twice<W> w, Twice<R>) {
    return {word_bits(w.first, R()), word_bits(w.second, R())};
}
template <class W, class R>
ASGD_FN typename Lane<Twice<R>>::Bits turned_bits(Twice<W> high, Twice<W> low, Twice<R>) {
    return {turned_bits(high.first, low.first, R()), turned_bits(high.second, low.second, R())};
}

ASGD_ISA_NAMESPACE_END
