/* triad is STREAM's a = b + s*c in fp64, written past the caches: triad N THREADS. It
 * answers lines as server.go describes; a request is SECONDS, and its work is in bytes,
 * 24 an element. Each thread is bound to a CPU and touches its part first; the arrays
 * lie as those of bench/stream do (allocate in host_linux.go), in large pages. Threads
 * do not wait for each other between passes, as there. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { chunk = 1 << 17, large = 2 << 20 };

#if defined __AVX512F__
#define KERNEL "AVX-512, non-temporal"
static void triad(double *restrict a, const double *restrict b, const double *restrict c, double s, long n) {
	__m512d v = _mm512_set1_pd(s);
	for (long i = 0; i < n; i += 8)
		_mm512_stream_pd(a + i, _mm512_add_pd(_mm512_load_pd(b + i), _mm512_mul_pd(v, _mm512_load_pd(c + i))));
	_mm_sfence();
}
#elif defined __AVX__
#define KERNEL "AVX, non-temporal"
static void triad(double *restrict a, const double *restrict b, const double *restrict c, double s, long n) {
	__m256d v = _mm256_set1_pd(s);
	for (long i = 0; i < n; i += 4)
		_mm256_stream_pd(a + i, _mm256_add_pd(_mm256_load_pd(b + i), _mm256_mul_pd(v, _mm256_load_pd(c + i))));
	_mm_sfence();
}
#else
#define KERNEL "the compiler's choice"
static void triad(double *restrict a, const double *restrict b, const double *restrict c, double s, long n) {
	for (long i = 0; i < n; i++)
		a[i] = b[i] + s * c[i];
}
#endif

static struct part {
	double *a, *b, *c;
	long n, done; /* elements of the part, and computed by the last request */
	int id;
} parts[64];
static pthread_barrier_t begin, end;
static double until;

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void *work(void *arg) {
	struct part *p = arg;
	cpu_set_t all, one;
	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof all, &all) == 0)
		for (int cpu = 0, left = p->id % CPU_COUNT(&all); cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &all) && left-- == 0)
				CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof one, &one);
	for (long i = 0; i < p->n; i++)
		p->a[i] = 0, p->b[i] = 1 + i % 1000 / 1e3, p->c[i] = 1 + i % 7 / 7.0;
	pthread_barrier_wait(&end);
	for (long next = 0;;) {
		pthread_barrier_wait(&begin);
		p->done = 0;
		do {
			long n = p->n - next < chunk ? p->n - next : chunk;
			triad(p->a + next, p->b + next, p->c + next, 1.1, n);
			p->done += n;
			next = next + n < p->n ? next + n : 0;
		} while (now() < until);
		pthread_barrier_wait(&end);
	}
	return NULL;
}

int main(int argc, char **argv) {
	long n = argc == 3 ? atol(argv[1]) : 0, threads = argc == 3 ? atol(argv[2]) : 0;
	if (n < 64 * threads || threads < 1 || threads > 64) {
		fprintf(stderr, "triad: two arguments: elements, and threads from 1 to 64\n");
		return 1;
	}
	long size = (8 * n + large - 1) / large * large + 3 * large;
	char *mem = mmap(NULL, 3 * size + large, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED) {
		perror("triad: mmap");
		return 1;
	}
	madvise(mem, 3 * size + large, MADV_HUGEPAGE);
	mem += -(uintptr_t)mem % large;
	pthread_barrier_init(&begin, NULL, threads + 1);
	pthread_barrier_init(&end, NULL, threads + 1);
	for (long i = 0; i < threads; i++) {
		long from = n / 8 * i / threads * 8, to = i + 1 < threads ? n / 8 * (i + 1) / threads * 8 : n / 8 * 8;
		double *a = (double *)mem + from;
		parts[i] = (struct part){a, a + size / 8, a + size / 4, to - from, 0, i};
		pthread_t t;
		if (pthread_create(&t, NULL, work, &parts[i])) {
			fprintf(stderr, "triad: no thread\n");
			return 1;
		}
	}
	pthread_barrier_wait(&end);
	printf("ready\tgcc %s\t" KERNEL "\n", __VERSION__);
	fflush(stdout);
	double seconds;
	while (scanf("%lf", &seconds) == 1) {
		struct rusage u, v;
		getrusage(RUSAGE_SELF, &u);
		until = now() + seconds;
		pthread_barrier_wait(&begin);
		pthread_barrier_wait(&end);
		getrusage(RUSAGE_SELF, &v);
		double bytes = 0, cpu = v.ru_utime.tv_sec - u.ru_utime.tv_sec + v.ru_stime.tv_sec - u.ru_stime.tv_sec +
			1e-6 * (v.ru_utime.tv_usec - u.ru_utime.tv_usec + v.ru_stime.tv_usec - u.ru_stime.tv_usec);
		for (int i = 0; i < threads; i++)
			bytes += 24.0 * parts[i].done;
		printf("%.17g %.17g\n", bytes, cpu);
		fflush(stdout);
	}
	return 0;
}
