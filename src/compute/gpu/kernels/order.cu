// Another order of the axes: see compute/layout.

// y[r, j, i] = x[r, i, j]: rows of a times b numbers, each turned; a block has a tile of 32 times 32.
template <class N> DEVICE void turn(const N *x, N *y, i64 a, i64 b) {
  SHARED N tile[32][33];
  u32 across = (u32)((b + 31) / 32), down = (u32)((a + 31) / 32), at = blockIdx.x;
  i64 j = (i64)(at % across) * 32, i = (i64)(at / across % down) * 32, from = (i64)(at / across / down) * a * b;
  u32 column = threadIdx.x % 32;
  for (u32 row = threadIdx.x / 32; row < 32; row += WARPS)
    if (i + row < a && j + column < b) tile[row][column] = x[from + (i + row) * b + j + column];
  BARRIER;
  for (u32 row = threadIdx.x / 32; row < 32; row += WARPS)
    if (j + row < b && i + column < a) y[from + (j + row) * a + i + column] = tile[column][row];
}

KERNEL turn_numbers(const T *x, T *y, i64 a, i64 b) { turn(x, y, a, b); }
KERNEL turn_bytes(const u8 *x, u8 *y, i64 a, i64 b) { turn(x, y, a, b); }
KERNEL turn_halves(const u16 *x, u16 *y, i64 a, i64 b) { turn(x, y, a, b); }
