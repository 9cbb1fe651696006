// libcurand.so.10 of the software GPU: candle makes a generator with every device; this project draws no number from it.

extern "C" {
int curandCreateGenerator(void **generator, int) { return *generator = new char, 0; }
int curandDestroyGenerator(void *) { return 0; }
int curandSetPseudoRandomGeneratorSeed(void *, unsigned long long) { return 0; }
int curandSetStream(void *, void *) { return 0; }
}
