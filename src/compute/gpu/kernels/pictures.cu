// Images of a data set that lies on the device as bytes, made into a batch: see data/split/resident.

// Byte v stands for levels[v]. Sample b shows image places[b], padded by `pad` zeros, then the window whose first row and
// column, in the image with a border of `crop` zeros, are windows[3 b] and windows[3 b + 1]; reflected where
// windows[3 b + 2] is 1.
KERNEL pictures(const u8 *bytes, const T *levels, const u32 *places, const u32 *windows, T *y, i64 count, i64 channels,
                i64 height, i64 width, i64 pad, i64 crop) {
  i64 tall = height + 2 * pad, wide = width + 2 * pad;
  EACH(i, count) {
    i64 column = i % wide, row = i / wide % tall, channel = i / (wide * tall) % channels, b = i / (wide * tall * channels);
    if (windows[3 * b + 2]) column = wide - 1 - column;
    row += (i64)windows[3 * b] - crop - pad;
    column += (i64)windows[3 * b + 1] - crop - pad;
    bool inside = row >= 0 && row < height && column >= 0 && column < width;
    y[i] = inside ? levels[bytes[(((i64)places[b] * channels + channel) * height + row) * width + column]] : (T)0;
  }
}
