/* blas times sgemm of a library that it opens: blas LIBRARY.so. It answers lines as
 * server.go describes; a request is
 *     SECONDS TRANSA TRANSB M N K LDA LDB LDC BETA
 * with row-major matrices, and its work is in floating-point operations.
 * It knows OpenBLAS, oneDNN and MKL (with 32-bit integers) by their symbols. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef void cblas(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef int dnnl(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
static cblas *cblas_sgemm;
static dnnl *dnnl_sgemm;

/* CPU seconds of all threads of this process. */
static double cpu(void) {
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_utime.tv_sec + u.ru_stime.tv_sec + 1e-6 * (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static float *matrix(long n) {
	float *p = aligned_alloc(64, (4 * n + 63) / 64 * 64);
	for (long i = 0; p && i < n; i++)
		p[i] = (float)(i * 2654435761u % 1000) / 500 - 1;
	return p;
}

/* introduce prints the version of the library and the kernel that it chose. */
static int introduce(void *lib) {
	char *(*core)(void) = dlsym(lib, "openblas_get_corename"), *(*config)(void) = dlsym(lib, "openblas_get_config");
	const struct { int major, minor, patch; } *(*version)(void) = dlsym(lib, "dnnl_version");
	int (*isa)(void) = dlsym(lib, "dnnl_get_effective_cpu_isa");
	void (*mkl)(char *, int) = dlsym(lib, "MKL_Get_Version_String");
	cblas_sgemm = dlsym(lib, "cblas_sgemm");
	dnnl_sgemm = dlsym(lib, "dnnl_sgemm");
	if (cblas_sgemm && core && config) {
		char text[256];
		snprintf(text, sizeof text, "%s", config());
		strtok(text, " ");
		char *number = strtok(NULL, " ");
		printf("ready\tOpenBLAS %s\t%s\n", number ? number : "?", core());
	} else if (dnnl_sgemm && version && isa) {
		/* dnnl_cpu_isa_t: 0x27 is avx512_core, and later ones contain its bits. */
		int bits = isa();
		const char *name = (bits & 0x27) == 0x27 ? "AVX-512" : (bits & 7) == 7 ? "AVX2" : (bits & 3) == 3 ? "AVX" : "SSE4.1 or less";
		printf("ready\toneDNN %d.%d.%d\t%s\n", version()->major, version()->minor, version()->patch, name);
	} else if (cblas_sgemm && mkl) {
		char text[256] = "";
		mkl(text, sizeof text - 1);
		for (char *p = text; *p; p++)
			if (*p == '\t' || *p == '\n')
				*p = ' ';
		printf("ready\t%s\tits own choice\n", text);
	} else
		return 0;
	return 1;
}

int main(int argc, char **argv) {
	void *lib = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) : NULL;
	if (!lib || !introduce(lib)) {
		fprintf(stderr, "blas: %s\n", argc != 2 ? "one argument: a library" : lib ? "neither OpenBLAS, oneDNN nor MKL" : dlerror());
		return 1;
	}
	fflush(stdout);
	double seconds;
	int ta, tb, m, n, k, lda, ldb, ldc;
	float beta, *a = NULL, *b = NULL, *c = NULL;
	char line[256], last[256] = "";
	while (fgets(line, sizeof line, stdin)) {
		int at = 0;
		if (sscanf(line, "%lf %n%d %d %d %d %d %d %d %d %f", &seconds, &at, &ta, &tb, &m, &n, &k, &lda, &ldb, &ldc, &beta) != 10) {
			fprintf(stderr, "blas: request not understood: %s", line);
			return 1;
		}
		if (strcmp(last, line + at)) { /* else the operands of the request before */
			free(a), free(b), free(c);
			a = matrix((long)(ta ? k : m) * lda), b = matrix((long)(tb ? n : k) * ldb), c = matrix((long)m * ldc);
			if (!a || !b || !c) {
				fprintf(stderr, "blas: out of memory\n");
				return 1;
			}
			memset(c, 0, 4l * m * ldc);
			strcpy(last, line + at);
		}
		/* One call warms up, a second says how many take a millisecond. */
		double flop = 0, began = 0, now, one = 0;
		long calls = 1;
		for (int round = 0;; round++) {
			now = cpu();
			if (round == 1)
				began = now;
			if (round > 1 && now - began >= seconds)
				break;
			if (round == 2)
				one = now - began, calls = one < 1e-6 ? 1000 : 1 + 1e-3 / one;
			for (long i = 0; i < calls; i++)
				if (dnnl_sgemm)
					dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
				else
					cblas_sgemm(101, ta ? 112 : 111, tb ? 112 : 111, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
			if (round > 0)
				flop += 2.0 * m * n * k * calls;
		}
		printf("%.17g %.17g\n", flop, now - began);
		fflush(stdout);
	}
	return 0;
}
