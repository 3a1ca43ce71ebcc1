// A libnvidia-ml that says what the file "state" beside it says: a line each of
// a key and a value, read anew at every call. Keys of card 0 begin with "0.". What is
// defined as LACKS_x is not there, as in older libraries.
//
// It is written from the reference of the API, not from the Go that it tests.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
	unsigned int fieldId, scopeId;
	long long timestamp, latencyUsec;
	int valueType, nvmlReturn;
	union {
		double d;
		int si;
		unsigned int ui;
		unsigned long ul;
		unsigned long long ull;
		signed long long sll;
		unsigned short us;
	} value;
} nvmlFieldValue_t;

typedef struct {
	char busIdLegacy[16];
	unsigned int domain, bus, device, pciDeviceId, pciSubSystemId;
	char busId[32];
} nvmlPciInfo_t;

enum { SUCCESS, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7 };

// beside opens a file in the directory of this library.
static FILE *beside(const char *name, const char *mode) {
	static char path[4096];
	Dl_info self;
	if (!path[0]) {
		dladdr(path, &self);
		snprintf(path, sizeof path, "%.*s", (int)(strrchr(self.dli_fname, '/') - self.dli_fname), self.dli_fname);
	}
	char full[sizeof path + 64];
	snprintf(full, sizeof full, "%s/%s", path, name);
	return fopen(full, mode);
}

static int find(const char *key, char *value) {
	char line[256], name[64];
	FILE *f = beside("state", "r");
	if (!f)
		return 0; // a test that has ended waits for nobody
	while (fgets(line, sizeof line, f)) {
		int n = 0;
		if (sscanf(line, "%63s %n", name, &n) == 1 && !strcmp(name, key)) {
			line[strcspn(line, "\n")] = 0;
			strcpy(value, line + n);
			fclose(f);
			return 1;
		}
	}
	fclose(f);
	return 0;
}

static int number(const char *key, unsigned long long *v) {
	char text[256];
	if (!find(key, text))
		return 0;
	*v = text[0] == '-' ? (unsigned long long)strtoll(text, 0, 10) : strtoull(text, 0, 10);
	return 1;
}

static unsigned long long get(const char *key, unsigned long long otherwise) {
	number(key, &otherwise);
	return otherwise;
}

// A handle holds the card, and in what life of it it was given.
#define CARD(device) ((unsigned)((device) & 0xff))

static char *keyOf(unsigned card, const char *name) {
	static __thread char key[64];
	snprintf(key, sizeof key, "%u.%s", card, name);
	return key;
}

// hold hangs for as long as the file says so.
static void hold(const char *key) {
	while (get(key, 0))
		nanosleep(&(struct timespec){0, 2000000}, 0);
}

// answers hangs if the card does, and returns the code that the file has for
// the card or for this call.
static int answers(size_t device, const char *call) {
	char key[64];
	unsigned card = CARD(device);
	hold(keyOf(card, "hang"));
	snprintf(key, sizeof key, "%s.code", call);
	if (device >> 8 != 1 + get(keyOf(card, "life"), 0))
		return 15;
	return get(keyOf(card, key), get(keyOf(card, "code"), SUCCESS));
}

static int count(size_t device, const char *name, unsigned long long *v) {
	int code = answers(device, name);
	if (code)
		return code;
	return number(keyOf(CARD(device), name), v) ? SUCCESS : NOT_SUPPORTED;
}

static int count32(size_t device, const char *name, unsigned int *v) {
	unsigned long long n;
	int code = count(device, name, &n);
	if (!code)
		*v = n;
	return code;
}

static int string(const char *key, char *buf, unsigned int size) {
	char text[256] = "";
	find(key, text);
	if (strlen(text) >= size)
		return INSUFFICIENT_SIZE;
	strcpy(buf, text);
	return SUCCESS;
}

static char fresh[256]; // cards whose energy was not asked for since the start

#ifndef LACKS_init
int nvmlInit_v2(void) {
	hold("init.hang");
	memset(fresh, 1, sizeof fresh);
	return get("init", SUCCESS);
}
#endif

int nvmlShutdown(void) {
	FILE *f = beside("closed", "a");
	fputs("closed\n", f);
	fclose(f);
	return SUCCESS;
}

const char *nvmlErrorString(int code) {
	switch (code) {
	case 3: return "Not Supported";
	case 4: return "Insufficient Permissions";
	case 9: return "Driver Not Loaded";
	case 15: return "GPU is lost";
	case 18: return "Driver/library version mismatch";
	}
	return "Some Other Error";
}

int nvmlDeviceGetCount_v2(unsigned int *n) {
	*n = get("cards", 1);
	return get("count.code", SUCCESS);
}

static void give(unsigned card, size_t *device) { *device = (1 + get(keyOf(card, "life"), 0)) << 8 | card; }

int nvmlDeviceGetHandleByIndex_v2(unsigned int card, size_t *device) {
	if (card >= get("cards", 1))
		return INVALID_ARGUMENT;
	give(card, device);
	return get(keyOf(card, "open"), SUCCESS);
}

int nvmlDeviceGetHandleByUUID(const char *uuid, size_t *device) {
	for (unsigned card = 0; card < get("cards", 1); card++) {
		char text[256] = "";
		find(keyOf(card, "uuid"), text);
		if (!strcmp(text, uuid)) {
			give(card, device);
			return get(keyOf(card, "open"), SUCCESS);
		}
	}
	return 6;
}

int nvmlSystemGetDriverVersion(char *buf, unsigned int size) { return string("driver", buf, size); }
int nvmlDeviceGetUUID(size_t d, char *buf, unsigned int size) { return string(keyOf(CARD(d), "uuid"), buf, size); }
int nvmlDeviceGetName(size_t d, char *buf, unsigned int size) { return string(keyOf(CARD(d), "name"), buf, size); }

#ifndef LACKS_energy
// A card's counter is seen to move after the start, and then says exactly what
// the file does; with "frozen" it never moves.
int nvmlDeviceGetTotalEnergyConsumption(size_t d, unsigned long long *mJ) {
	int code = count(d, "energy", mJ);
	if (!code && fresh[CARD(d)] && !get(keyOf(CARD(d), "frozen"), 0))
		--*mJ;
	if (!code)
		fresh[CARD(d)] = 0;
	return code;
}
#endif

#ifndef LACKS_fields
int nvmlDeviceGetFieldValues(size_t d, int n, nvmlFieldValue_t *v) {
	for (; n > 0; n--, v++) {
		char name[32];
		unsigned long long raw = 0;
		snprintf(name, sizeof name, "field%u", v->fieldId);
		if (v->scopeId)
			return INVALID_ARGUMENT;
		v->nvmlReturn = count(d, name, &raw);
		v->timestamp = time(0) * 1000000LL;
		strcat(name, ".type");
		v->valueType = get(keyOf(CARD(d), name), 1);
		memset(&v->value, 0xee, sizeof v->value); // what lies beyond a short type means nothing
		switch (v->valueType) {
		case 0: v->value.d = raw ? raw : 0.0 / 0.0; break;
		case 1: v->value.ui = raw; break;
		case 2: v->value.ul = raw; break;
		case 3: v->value.ull = raw - fresh[CARD(d)]; fresh[CARD(d)] = 0; break;
		case 4: v->value.sll = raw; break;
		case 5: v->value.si = raw; break;
		case 6: v->value.us = raw; break;
		}
	}
	return get("fields", SUCCESS);
}
#endif

int nvmlDeviceGetPowerUsage(size_t d, unsigned int *mW) { return count32(d, "power", mW); }
#ifndef LACKS_enforced
int nvmlDeviceGetEnforcedPowerLimit(size_t d, unsigned int *mW) { return count32(d, "limit", mW); }
#endif
int nvmlDeviceGetPowerManagementLimit(size_t d, unsigned int *mW) { return count32(d, "limit", mW); }
#ifndef LACKS_reasons
int nvmlDeviceGetCurrentClocksEventReasons(size_t d, unsigned long long *mask) { return count(d, "reasons", mask); }
#endif
int nvmlDeviceGetCurrentClocksThrottleReasons(size_t d, unsigned long long *mask) { return count(d, "reasons", mask); }

#ifndef LACKS_state
int nvmlDeviceGetPciInfo_v3(size_t d, nvmlPciInfo_t *at) {
	char text[256];
	int code = answers(d, "pci");
	if (code)
		return code;
	if (!find(keyOf(CARD(d), "pci"), text))
		return NOT_SUPPORTED;
	memset(at, 0xee, sizeof *at);
	sscanf(text, "%x:%x:%x", &at->domain, &at->bus, &at->device);
	snprintf(at->busId, sizeof at->busId, "%08X:%02X:%02X.0", at->domain, at->bus, at->device);
	return SUCCESS;
}

// NVML_CLOCK_GRAPHICS, SM, MEM, VIDEO
int nvmlDeviceGetClockInfo(size_t d, int type, unsigned int *mhz) {
	const char *name[] = {"graphics", "sm", "memory", "video"};
	return type < 0 || type > 3 ? INVALID_ARGUMENT : count32(d, name[type], mhz);
}

int nvmlDeviceGetTemperature(size_t d, int sensor, unsigned int *celsius) { return sensor ? INVALID_ARGUMENT : count32(d, "temperature", celsius); }
int nvmlDeviceGetPowerManagementDefaultLimit(size_t d, unsigned int *mW) { return count32(d, "default", mW); }

// NVML_MEMORY_ERROR_TYPE_CORRECTED, UNCORRECTED; NVML_VOLATILE_ECC, AGGREGATE
int nvmlDeviceGetTotalEccErrors(size_t d, int type, int counter, unsigned long long *n) {
	const char *name[] = {"corrected", "uncorrected", "corrected.ever", "uncorrected.ever"};
	return (type | counter) & ~1 ? INVALID_ARGUMENT : count(d, name[type + 2 * counter], n);
}
#endif

int nvmlDeviceGetMigMode(size_t d, unsigned int *now, unsigned int *next) {
	*next = 0;
	return count32(d, "mig", now);
}

// NVML_GPU_VIRTUALIZATION_MODE_NONE, PASSTHROUGH, VGPU, HOST_VGPU, HOST_VSGA
int nvmlDeviceGetVirtualizationMode(size_t d, unsigned int *mode) { return count32(d, "virtual", mode); }
