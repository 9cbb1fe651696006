// Losses and margins of logits [B, C] with labels y [B]: see train/losses. One thread for each sample.

// log sum exp of a sample's logits, and of which exp the largest is taken out; a NaN among them, or no end, ends as NaN.
DEVICE double log_sum_exp(const T *x, i64 classes) {
  double peak = (double)x[0], sum = 0;
  for (i64 j = 1; j < classes; j++)
    if ((double)x[j] > peak) peak = (double)x[j];
  for (i64 j = 0; j < classes; j++) sum += exp((double)x[j] - peak);
  return peak + log(sum);
}

KERNEL cross_entropies(const T *logits, const u32 *y, T *losses, i64 batch, i64 classes) {
  EACH(b, batch) {
    const T *x = logits + b * classes;
    losses[b] = (T)(log_sum_exp(x, classes) - (double)x[y[b]]);
  }
}

// The mean over the batch; one block.
KERNEL cross_entropy(const T *logits, const u32 *y, T *loss, i64 batch, i64 classes) {
  double sum = 0;
  WITHIN(b, batch) {
    const T *x = logits + b * classes;
    sum += log_sum_exp(x, classes) - (double)x[y[b]];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) loss[0] = (T)(sum / (double)batch);
}

// From the gradient of each sample's loss; or from that of the mean, where `share` is 1 over the batch.
KERNEL cross_entropy_backward(const T *logits, const u32 *y, const T *g, T *d, i64 batch, i64 classes, double share) {
  EACH(b, batch) {
    const T *x = logits + b * classes;
    double lse = log_sum_exp(x, classes), pull = share > 0 ? (double)g[0] * share : (double)g[b];
    for (i64 j = 0; j < classes; j++)
      d[b * classes + j] = (T)(pull * (exp((double)x[j] - lse) - (j == (i64)y[b] ? 1 : 0)));
  }
}

// By how much the label's logit is above all others; NaN where a logit is NaN, or has no end.
DEVICE T margin_of(const T *x, i64 label, i64 classes) {
  T others = (T)-1e308 * 10, sum = 0;
  for (i64 j = 0; j < classes; j++) {
    if (j != label && x[j] > others) others = x[j];
    sum += x[j] * 0;
  }
  return x[label] - others + sum;
}

KERNEL margins(const T *logits, const u32 *y, T *margins, i64 batch, i64 classes) {
  EACH(b, batch) margins[b] = margin_of(logits + b * classes, (i64)y[b], classes);
}

// The share of samples whose margin is above 0 and finite; one block.
KERNEL accuracy(const T *logits, const u32 *y, float *share, i64 batch, i64 classes) {
  double right = 0;
  WITHIN(b, batch) {
    T margin = margin_of(logits + b * classes, (i64)y[b], classes);
    if (margin > 0 && margin - margin == 0) right += 1;
  }
  right = block_sum(right);
  if (threadIdx.x == 0) share[0] = (float)(right / (double)batch);
}

// Behind the logits, the largest worst logit of another class than the label; NaN where there is one.
KERNEL gloro_logits(const T *logits, const T *worst, const u32 *y, T *out, i64 batch, i64 classes) {
  EACH(b, batch) {
    const T *x = worst + b * classes;
    T most = (T)-1e308 * 10;
    for (i64 j = 0; j < classes; j++) {
      if (j != (i64)y[b] && (x[j] > most || x[j] != x[j])) most = x[j];
      out[b * (classes + 1) + j] = logits[b * classes + j];
    }
    out[b * (classes + 1) + classes] = most;
  }
}

// Of several that are largest, each gets the gradient.
KERNEL gloro_logits_backward(const T *worst, const T *out, const u32 *y, const T *g, T *of_logits, T *of_worst, i64 batch,
                             i64 classes) {
  EACH(b, batch) {
    T most = out[b * (classes + 1) + classes], pull = g[b * (classes + 1) + classes];
    for (i64 j = 0; j < classes; j++) {
      i64 i = b * classes + j;
      of_logits[i] = g[b * (classes + 1) + j];
      of_worst[i] = j != (i64)y[b] && worst[i] == most ? pull : (T)0;
    }
  }
}
