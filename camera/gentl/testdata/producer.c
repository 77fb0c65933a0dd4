// A GenTL producer for tests: one system, one interface, one camera, and a socket by which a
// test triggers it and makes it misbehave. It is written from the standard's function list and
// shares nothing with the helper that loads it.
//
// OPU_TEST_PRODUCER names a listening Unix socket. The camera connects to it when it is opened
// and obeys its lines, each answered by "ok":
//
//	trigger N     N edges of the trigger line, at a rate that the host follows: each waits
//	              for a buffer, though not for long
//	burst N       N frames by themselves, as fast as there are buffers; nothing is drawn
//	drop K        frame K of the run, from 0, is taken and never delivered
//	damage K      frame K is delivered incomplete
//	double K      the edge of frame K makes two frames
//	deaf 1        edges are ignored
//	round N       regions of interest become multiples of N pixels
//	parts N       images in a buffer
//	crash 1       the next function called dereferences nothing
//	hang 1        the next function called does not return
//	unplug 1      every function fails from now on
//	type N        the transport layer: 0 GEV, 1 U3V, 2 CXP
//	first N       id of the first frame of a run; -1: ids go on from run to run
//
// Built with -DOLD the functions that came after GenTL 1.0 are missing.
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define API __attribute__((visibility("default"))) int32_t

enum { OK = 0, ERROR = -1001, NOT_INITIALISED = -1002, BUSY = -1004, BAD_HANDLE = -1006, BAD_ID = -1007, BAD_PARAMETER = -1009, IO = -1010,
	TIMEOUT = -1011, ABORT = -1012, BAD_BUFFER = -1013, NOT_AVAILABLE = -1014, BAD_ADDRESS = -1015, TOO_SMALL = -1016, BAD_INDEX = -1017 };

#ifndef SENSOR_WIDTH
#define SENSOR_WIDTH 64
#define SENSOR_HEIGHT 48
#endif
enum { MOST_BUFFERS = 256, XML = 0x10000, MEMORY = 0x400 };

// Handles, which are numbers on purpose.
#define TL ((void *)0x11)
#define LINK ((void *)0x22)
#define DEVICE ((void *)0x33)
#define CAMERA ((void *)0x44)
#define STREAM ((void *)0x55)
#define EVENT ((void *)0x66)
#define BUFFER(i) ((void *)(uintptr_t)(0x1000 + (i)))

struct buffer {
	uint8_t *memory;
	size_t size;
	void *user;
	int announced;
	uint64_t id, time;
	size_t filled;
	uint32_t width, height, format;
	int incomplete, parts;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
static int initialised, tl_open, if_open, device_open, stream_open, registered, acquiring, killed;
static struct buffer buffers[MOST_BUFFERS];
static int input[MOST_BUFFERS], inputs, output[MOST_BUFFERS], outputs;
static uint8_t registers[MEMORY], stream_registers[16];
static uint64_t next_id, frame, clock_ns = 1000000000, started, delivered, underrun; // frame: of the run
static int filling = -1; // a buffer that waits for more parts
static int64_t drop = -1, damage = -1, twice = -1, first_id = 1;
static int64_t burst;
static int deaf, rounding = 1, crash, hang, unplugged, type, control = -1;
static __thread int32_t last_code;
static __thread char last_text[128];

#include "xml.h" // camera_xml, stream_xml

static int32_t fail(int32_t code, const char *text) {
	last_code = code;
	snprintf(last_text, sizeof last_text, "%s", text);
	return code;
}

// enter takes the lock, and misbehaves if that was asked for.
static int32_t enter(void) {
	pthread_mutex_lock(&lock);
	if (crash) {
		*(volatile int *)0 = 1;
	}
	while (hang) { // with the lock held
		pause();
	}
	if (unplugged) {
		pthread_mutex_unlock(&lock);
		return fail(IO, "the camera does not answer");
	}
	if (!initialised) {
		pthread_mutex_unlock(&lock);
		return fail(NOT_INITIALISED, "GCInitLib was not called");
	}
	return OK;
}

static int32_t leave(int32_t code, const char *text) {
	pthread_mutex_unlock(&lock);
	return code == OK ? OK : fail(code, text);
}

#define ENTER do { int32_t code_ = enter(); if (code_) return code_; } while (0)
#define LEAVE return leave(OK, "")
#define FAIL(code, text) return leave(code, text)

static int32_t put(void *to, size_t *size, const void *from, size_t n) {
	if (to == NULL) {
		*size = n;
		return OK;
	}
	if (*size < n) {
		*size = n;
		return TOO_SMALL;
	}
	memcpy(to, from, n);
	*size = n;
	return OK;
}

static int32_t put_text(int32_t *kind, void *to, size_t *size, const char *s) {
	if (kind) *kind = 1;
	return put(to, size, s, strlen(s) + 1);
}
static int32_t put_size(int32_t *kind, void *to, size_t *size, size_t n) {
	*kind = 12;
	return put(to, size, &n, sizeof n);
}
static int32_t put_u64(int32_t *kind, void *to, size_t *size, uint64_t n) {
	*kind = 8;
	return put(to, size, &n, sizeof n);
}
static int32_t put_i32(int32_t *kind, void *to, size_t *size, int32_t n) {
	*kind = 5;
	return put(to, size, &n, sizeof n);
}
static int32_t put_bool(int32_t *kind, void *to, size_t *size, int n) {
	uint8_t b = n != 0;
	*kind = 11;
	return put(to, size, &b, 1);
}

static uint32_t get(int address) {
	uint32_t v;
	memcpy(&v, registers + address, 4);
	return v;
}
static void set(int address, uint32_t v) { memcpy(registers + address, &v, 4); }
static void set_float(int address, double v) { memcpy(registers + address, &v, 8); }

static const char *type_name(void) { return type == 0 ? "GEV" : type == 1 ? "U3V" : "CXP"; }

static size_t pixel_size(void) { return get(0x010) == 0x01080001 ? 1 : 2; }
static int parts(void) { return *(uint32_t *)stream_registers; }
static size_t image_size(void) { return get(0x000) * get(0x004) * pixel_size(); }

// fill draws an image that tells which frame it is: pixel (u, v) of the sensor in frame k is
// u + 2 v + 3 k, in as many bits as there are.
static void fill(uint8_t *to, uint64_t k, size_t rows) {
	uint32_t width = get(0x000), left = get(0x008), top = get(0x00C), format = get(0x010);
	uint32_t mask = format == 0x01080001 ? 0xff : format == 0x01100003 ? 0x3ff : 0xfff;
	for (uint32_t v = 0; v < rows; v++) {
		for (uint32_t u = 0; u < width; u++) {
			uint32_t value = (uint32_t)(u + left + 2 * (v + top) + 3 * k) & mask;
			if (mask == 0xff) {
				*to++ = value;
			} else {
				*to++ = value;
				*to++ = value >> 8;
			}
		}
	}
}

// expose takes a frame; the lock is held.
static void expose(void) {
	uint64_t k = frame++;
	clock_ns += 1000000;
	int64_t lost = drop == (int64_t)k, damaged = damage == (int64_t)k;
	if (lost) drop = -1;
	if (damaged) damage = -1;
	uint64_t id = next_id;
	int part = filling >= 0 ? buffers[filling].parts : 0;
	if (filling < 0) {
		next_id++;
		if (inputs == 0) {
			underrun++;
			return;
		}
		filling = input[0];
		memmove(input, input + 1, --inputs * sizeof *input);
		struct buffer *b = &buffers[filling];
		started++;
		b->id = id, b->time = clock_ns, b->filled = 0, b->parts = 0, b->incomplete = 0;
		b->width = get(0x000), b->height = get(0x004), b->format = get(0x010);
	}
	struct buffer *b = &buffers[filling];
	if (lost) { // it was begun, and is given up
		input[inputs++] = filling;
		filling = -1;
		return;
	}
	size_t n = image_size();
	if ((part + 1) * n > b->size) {
		b->incomplete = 1;
	} else if (burst > 0) {
		memcpy(b->memory + part * n, &k, sizeof k); // enough to tell it by
	} else if (damaged) {
		b->incomplete = 1;
		fill(b->memory + part * n, k, b->height / 2);
	} else {
		fill(b->memory + part * n, k, b->height);
	}
	b->filled += damaged ? n / 2 : n;
	if (++b->parts == parts()) {
		delivered++;
		output[outputs++] = filling;
		filling = -1;
		pthread_cond_broadcast(&woken);
	}
}

static void edge(void) {
	for (int i = 0; i < 200 && acquiring && inputs == 0 && filling < 0; i++) {
		pthread_mutex_unlock(&lock);
		usleep(1000);
		pthread_mutex_lock(&lock);
	}
	if (!acquiring || !get(0x04C) || !get(0x058) || deaf) {
		return;
	}
	int again = twice == (int64_t)frame;
	expose();
	if (again) {
		twice = -1;
		expose();
	}
}

// free_run exposes without triggers while the trigger is off.
static void *free_run(void *unused) {
	(void)unused;
	for (;;) {
		usleep(burst > 0 ? 20 : 1000);
		pthread_mutex_lock(&lock);
		for (; burst > 0 && inputs > 0; burst--) expose();
		if (acquiring && get(0x04C) && !get(0x058) && !unplugged && !hang) {
			expose();
		}
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

// obey takes the orders of the test.
static void *obey(void *unused) {
	(void)unused;
	FILE *f = fdopen(control, "r");
	char line[128], word[32];
	long n;
	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%31s %ld", word, &n) != 2) {
			break;
		}
		pthread_mutex_lock(&lock);
		if (!strcmp(word, "trigger")) while (n-- > 0) edge();
		else if (!strcmp(word, "burst")) burst = n;
		else if (!strcmp(word, "drop")) drop = n;
		else if (!strcmp(word, "damage")) damage = n;
		else if (!strcmp(word, "double")) twice = n;
		else if (!strcmp(word, "deaf")) deaf = n;
		else if (!strcmp(word, "round")) rounding = n;
		else if (!strcmp(word, "parts")) *(uint32_t *)stream_registers = n;
		else if (!strcmp(word, "crash")) crash = n;
		else if (!strcmp(word, "hang")) hang = n;
		else if (!strcmp(word, "type")) type = n;
		else if (!strcmp(word, "first")) { first_id = n; if (n >= 0) next_id = n; }
		else if (!strcmp(word, "unplug")) { unplugged = n; pthread_cond_broadcast(&woken); }
		pthread_mutex_unlock(&lock);
		if (write(control, "ok\n", 3) != 3) {
			break;
		}
	}
	return NULL;
}

static void reset(void) {
	memset(registers, 0, sizeof registers);
	set(0x000, SENSOR_WIDTH), set(0x004, SENSOR_HEIGHT), set(0x010, 0x01080001), set(0x018, 1);
	set_float(0x020, 1000), set_float(0x030, 1), set_float(0x038, 0);
	set(0x028, 2), set(0x02C, 2); // automatic, as cameras come
	set(0x048, 2), set(0x100, SENSOR_WIDTH), set(0x104, SENSOR_HEIGHT);
	strcpy((char *)registers + 0x200, "Test");
	strcpy((char *)registers + 0x220, "Producer");
	strcpy((char *)registers + 0x240, "T-0001");
	*(uint32_t *)stream_registers = 1;
}

// ---- the library

API GCInitLib(void) {
	if (initialised) return fail(BUSY, "called twice");
	initialised = 1;
	reset();
	return OK;
}
API GCCloseLib(void) {
	initialised = 0;
	return OK;
}
API GCGetInfo(int32_t command, int32_t *kind, void *to, size_t *size) {
	switch (command) {
	case 0: return put_text(kind, to, size, "test");
	case 1: return put_text(kind, to, size, "Test");
	case 2: return put_text(kind, to, size, "Producer");
	case 3: return put_text(kind, to, size, "1.0");
	case 4: return put_text(kind, to, size, "Mixed");
#ifdef OLD
	case 9: return put_i32(kind, to, size, 1);
	case 10: return put_i32(kind, to, size, 0);
#else
	case 9: return put_i32(kind, to, size, 1);
	case 10: return put_i32(kind, to, size, 6);
#endif
	}
	return fail(NOT_AVAILABLE, "no such information");
}
API GCGetLastError(int32_t *code, char *text, size_t *size) {
	*code = last_code;
	return put_text(NULL, text, size, last_text);
}

// ---- ports

static int overlaps(uint64_t address, size_t n, uint64_t at, size_t length) { return address < at + length && at < address + n; }

static uint32_t multiple(uint32_t x, uint32_t of, uint32_t most) { return x / of * of == 0 ? (of < most ? of : most) : x / of * of; }

API GCReadPort(void *port, uint64_t address, void *to, size_t *size) {
	ENTER;
	set(0x014, image_size());
	const uint8_t *from = port == STREAM ? stream_registers : registers;
	size_t n = port == STREAM ? sizeof stream_registers : sizeof registers;
	const char *xml = port == STREAM ? stream_xml : camera_xml;
	if (port != STREAM && port != CAMERA) FAIL(BAD_HANDLE, "no such port");
	if (address >= XML && address < XML + strlen(xml)) { // the last read comes up short, as some do
		size_t left = XML + strlen(xml) - address;
		if (*size > left) *size = left;
		memcpy(to, xml + address - XML, *size);
		LEAVE;
	}
	if (address + *size > n) FAIL(BAD_ADDRESS, "no such register");
	memcpy(to, from + address, *size);
	LEAVE;
}
API GCWritePort(void *port, uint64_t address, const void *from, size_t *size) {
	ENTER;
	if (port == STREAM && address + *size <= sizeof stream_registers) {
		memcpy(stream_registers + address, from, *size);
		LEAVE;
	}
	if (port != CAMERA) FAIL(BAD_HANDLE, "no such port");
	if (address + *size > 0x100) FAIL(BAD_ADDRESS, "no such register, or one that is not written");
	if (get(0x064) && address < 0x014) FAIL(-1005, "the parameters of the transport layer are locked");
	memcpy(registers + address, from, *size);
	if (overlaps(address, *size, 0x000, 16) && rounding > 1) {
		set(0x000, multiple(get(0x000), rounding, SENSOR_WIDTH));
		set(0x004, multiple(get(0x004), rounding, SENSOR_HEIGHT));
	}
	double exposure;
	memcpy(&exposure, registers + 0x020, 8);
	set_float(0x020, (double)(int64_t)exposure); // whole microseconds
	if (overlaps(address, *size, 0x050, 4)) {
		set(0x04C, 0);
	}
	LEAVE;
}

static int32_t url(void *port, char *to, size_t *size) {
	char s[128];
	const char *xml = port == STREAM ? stream_xml : camera_xml;
	snprintf(s, sizeof s, "Local:///%s.xml;%x;%zx?SchemaVersion=1.1.0", port == STREAM ? "stream" : "camera", XML, strlen(xml));
	return put_text(NULL, to, size, s);
}
API GCGetPortURL(void *port, char *to, size_t *size) {
	ENTER;
#ifdef OLD
	if (port == STREAM) FAIL(NOT_AVAILABLE, "the stream has no features");
#endif
	if (port != STREAM && port != CAMERA) FAIL(BAD_HANDLE, "no such port");
	return leave(url(port, to, size), "");
}
#ifndef OLD
API GCGetNumPortURLs(void *port, uint32_t *n) {
	ENTER;
	if (port != STREAM && port != CAMERA) FAIL(BAD_HANDLE, "no such port");
	*n = 1;
	LEAVE;
}
API GCGetPortURLInfo(void *port, uint32_t index, int32_t command, int32_t *kind, void *to, size_t *size) {
	ENTER;
	if (index != 0) FAIL(BAD_INDEX, "there is one");
	if (command != 0) FAIL(NOT_AVAILABLE, "the URL is all there is");
	*kind = 1;
	return leave(url(port, to, size), "");
}
#endif

// ---- the system

API TLOpen(void **tl) {
	ENTER;
	if (tl_open) FAIL(BUSY, "open already");
	tl_open = 1;
	*tl = TL;
	LEAVE;
}
API TLClose(void *tl) {
	ENTER;
	if (tl != TL || !tl_open) FAIL(BAD_HANDLE, "no system");
	if (if_open) FAIL(BUSY, "the interface is open");
	tl_open = 0;
	LEAVE;
}
API TLUpdateInterfaceList(void *tl, uint8_t *changed, uint64_t timeout) {
	(void)timeout;
	ENTER;
	if (tl != TL) FAIL(BAD_HANDLE, "no system");
	if (changed) *changed = 1;
	LEAVE;
}
API TLGetNumInterfaces(void *tl, uint32_t *n) {
	ENTER;
	if (tl != TL) FAIL(BAD_HANDLE, "no system");
	*n = 1;
	LEAVE;
}
API TLGetInterfaceID(void *tl, uint32_t index, char *id, size_t *size) {
	ENTER;
	if (tl != TL || index != 0) FAIL(BAD_INDEX, "there is one interface");
	return leave(put_text(NULL, id, size, "card-0"), "too small");
}
API TLGetInterfaceInfo(void *tl, const char *id, int32_t command, int32_t *kind, void *to, size_t *size) {
	ENTER;
	if (tl != TL || strcmp(id, "card-0")) FAIL(BAD_ID, "no such interface");
	switch (command) {
	case 0: return leave(put_text(kind, to, size, "card-0"), "");
	case 1: return leave(put_text(kind, to, size, "Test card"), "");
	case 2: return leave(put_text(kind, to, size, type_name()), "");
	}
	FAIL(NOT_AVAILABLE, "no such information");
}
API TLOpenInterface(void *tl, const char *id, void **link) {
	ENTER;
	if (tl != TL || strcmp(id, "card-0")) FAIL(BAD_ID, "no such interface");
	if (if_open) FAIL(BUSY, "the interface is open");
	if_open = 1;
	*link = LINK;
	LEAVE;
}
API IFClose(void *link) {
	ENTER;
	if (link != LINK || !if_open) FAIL(BAD_HANDLE, "no interface");
	if (device_open) FAIL(BUSY, "the device is open");
	if_open = 0;
	LEAVE;
}
API IFUpdateDeviceList(void *link, uint8_t *changed, uint64_t timeout) { return link == LINK ? TLUpdateInterfaceList(TL, changed, timeout) : fail(BAD_HANDLE, "no interface"); }
API IFGetNumDevices(void *link, uint32_t *n) { return link == LINK ? TLGetNumInterfaces(TL, n) : fail(BAD_HANDLE, "no interface"); }
API IFGetDeviceID(void *link, uint32_t index, char *id, size_t *size) {
	ENTER;
	if (link != LINK || index != 0) FAIL(BAD_INDEX, "there is one device");
	return leave(put_text(NULL, id, size, "camera-0"), "too small");
}
static int32_t device_info(int32_t command, int32_t *kind, void *to, size_t *size) {
	switch (command) {
	case 0: return leave(put_text(kind, to, size, "camera-0"), "");
	case 1: return leave(put_text(kind, to, size, "Test"), "");
	case 2: return leave(put_text(kind, to, size, "Producer"), "");
	case 3: return leave(put_text(kind, to, size, type_name()), "");
	case 5: return leave(put_i32(kind, to, size, device_open ? 4 : 1), "");
	case 6: return leave(put_text(kind, to, size, "west bench"), "");
	case 7: return leave(put_text(kind, to, size, "T-0001"), "");
	case 9: return leave(put_u64(kind, to, size, 1000000000), "");
	}
	FAIL(NOT_AVAILABLE, "no such information");
}
API IFGetDeviceInfo(void *link, const char *id, int32_t command, int32_t *kind, void *to, size_t *size) {
	ENTER;
	if (link != LINK || strcmp(id, "camera-0")) FAIL(BAD_ID, "no such device");
	return device_info(command, kind, to, size);
}

// ---- the device

API IFOpenDevice(void *link, const char *id, int32_t flags, void **device) {
	ENTER;
	if (link != LINK || strcmp(id, "camera-0")) FAIL(BAD_ID, "no such device");
	if (flags != 3) FAIL(BAD_PARAMETER, "exclusive access is not known"); // as of some
	if (device_open) FAIL(BUSY, "open already");
	const char *path = getenv("OPU_TEST_PRODUCER");
	if (path != NULL && control < 0) {
		struct sockaddr_un a = {.sun_family = AF_UNIX};
		snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
		control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (control < 0 || connect(control, (struct sockaddr *)&a, sizeof a)) FAIL(IO, "the test does not listen");
		pthread_t t;
		pthread_create(&t, NULL, obey, NULL);
	}
	static int running;
	if (!running) {
		pthread_t t;
		running = !pthread_create(&t, NULL, free_run, NULL);
	}
	device_open = 1;
	*device = DEVICE;
	LEAVE;
}
API DevClose(void *device) {
	ENTER;
	if (device != DEVICE || !device_open) FAIL(BAD_HANDLE, "no device");
	if (stream_open) FAIL(BUSY, "the stream is open");
	device_open = 0;
	LEAVE;
}
API DevGetInfo(void *device, int32_t command, int32_t *kind, void *to, size_t *size) {
	ENTER;
	if (device != DEVICE) FAIL(BAD_HANDLE, "no device");
	return device_info(command, kind, to, size);
}
API DevGetPort(void *device, void **port) {
	ENTER;
	if (device != DEVICE) FAIL(BAD_HANDLE, "no device");
	*port = CAMERA;
	LEAVE;
}
API DevGetNumDataStreams(void *device, uint32_t *n) {
	ENTER;
	if (device != DEVICE) FAIL(BAD_HANDLE, "no device");
	*n = 1;
	LEAVE;
}
API DevGetDataStreamID(void *device, uint32_t index, char *id, size_t *size) {
	ENTER;
	if (device != DEVICE || index != 0) FAIL(BAD_INDEX, "there is one stream");
	return leave(put_text(NULL, id, size, "stream-0"), "too small");
}
API DevOpenDataStream(void *device, const char *id, void **stream) {
	ENTER;
	if (device != DEVICE || strcmp(id, "stream-0")) FAIL(BAD_ID, "no such stream");
	if (stream_open) FAIL(BUSY, "open already");
	stream_open = 1;
	*stream = STREAM;
	LEAVE;
}

// ---- the stream

API DSClose(void *stream) {
	ENTER;
	if (stream != STREAM || !stream_open) FAIL(BAD_HANDLE, "no stream");
	if (acquiring) FAIL(BUSY, "it is acquiring");
	for (int i = 0; i < MOST_BUFFERS; i++)
		if (buffers[i].announced) FAIL(BUSY, "buffers are announced");
	stream_open = 0;
	LEAVE;
}
API DSGetInfo(void *stream, int32_t command, int32_t *kind, void *to, size_t *size) {
	ENTER;
	if (stream != STREAM) FAIL(BAD_HANDLE, "no stream");
	switch (command) {
	case 1: return leave(put_u64(kind, to, size, delivered), "");
	case 2: return leave(put_u64(kind, to, size, underrun), "");
	case 6: return leave(put_u64(kind, to, size, started), "");
	case 7: return leave(put_size(kind, to, size, image_size() * parts()), "");
	case 9: return leave(put_bool(kind, to, size, parts() > 1), "");
	case 12: return leave(put_size(kind, to, size, 1), "");
	case 13: return leave(put_size(kind, to, size, 64), "");
	}
	FAIL(NOT_AVAILABLE, "no such information");
}
API DSAnnounceBuffer(void *stream, void *memory, size_t size, void *user, void **buffer) {
	ENTER;
	if (stream != STREAM || memory == NULL || size == 0) FAIL(BAD_PARAMETER, "no buffer");
	if (acquiring) FAIL(BUSY, "it is acquiring");
	for (int i = 0; i < MOST_BUFFERS; i++) {
		if (!buffers[i].announced) {
			buffers[i] = (struct buffer){.memory = memory, .size = size, .user = user, .announced = 1};
			*buffer = BUFFER(i);
			LEAVE;
		}
	}
	FAIL(-1020, "too many buffers");
}
static int of(void *buffer) {
	uintptr_t i = (uintptr_t)buffer - 0x1000;
	return i < MOST_BUFFERS && buffers[i].announced ? (int)i : -1;
}
static int queued(int i) {
	for (int k = 0; k < inputs; k++) if (input[k] == i) return 1;
	for (int k = 0; k < outputs; k++) if (output[k] == i) return 1;
	return filling == i;
}
API DSRevokeBuffer(void *stream, void *buffer, void **memory, void **user) {
	ENTER;
	int i = of(buffer);
	if (stream != STREAM || i < 0) FAIL(BAD_BUFFER, "not announced");
	if (queued(i)) FAIL(BUSY, "it is queued");
	*memory = buffers[i].memory, *user = buffers[i].user;
	buffers[i].announced = 0;
	LEAVE;
}
API DSQueueBuffer(void *stream, void *buffer) {
	ENTER;
	int i = of(buffer);
	if (stream != STREAM || i < 0) FAIL(BAD_BUFFER, "not announced");
	if (queued(i)) FAIL(BUSY, "it is queued");
	input[inputs++] = i;
	LEAVE;
}
API DSFlushQueue(void *stream, int32_t operation) {
	ENTER;
	if (stream != STREAM) FAIL(BAD_HANDLE, "no stream");
	if (operation == 4) inputs = outputs = 0, filling = -1;
	else if (operation == 1) outputs = 0;
	else FAIL(BAD_PARAMETER, "not done here");
	LEAVE;
}
API DSStartAcquisition(void *stream, int32_t flags, uint64_t n) {
	(void)n;
	ENTER;
	if (stream != STREAM || flags != 0) FAIL(BAD_PARAMETER, "no stream");
	if (acquiring) FAIL(BUSY, "it is acquiring");
	if (first_id >= 0) next_id = first_id;
	acquiring = 1, frame = 0;
	LEAVE;
}
API DSStopAcquisition(void *stream, int32_t flags) {
	(void)flags;
	ENTER;
	if (stream != STREAM || !acquiring) FAIL(BAD_HANDLE, "it is not acquiring");
	acquiring = 0;
	LEAVE;
}

static int32_t image_info(struct buffer *b, int32_t command, int32_t *kind, void *to, size_t *size) {
	switch (command) {
	case 0: *kind = 10; return put(to, size, &b->memory, sizeof b->memory);
	case 1: return put_size(kind, to, size, b->size);
	case 3: return put_u64(kind, to, size, b->time);
	case 7: return put_bool(kind, to, size, b->incomplete);
	case 9: return put_size(kind, to, size, b->filled);
	case 10: return put_size(kind, to, size, b->width);
	case 11: return put_size(kind, to, size, b->height);
	case 14: return put_size(kind, to, size, 0);
	case 16: return put_u64(kind, to, size, b->id);
	case 18: return put_size(kind, to, size, 0);
	case 19: return put_size(kind, to, size, b->parts > 1 ? 10 : 1);
	case 20: return put_u64(kind, to, size, type == 2 ? (b->format == 0x01080001 ? 0x101 : b->format == 0x01100003 ? 0x102 : 0x103) : b->format);
	case 21: return put_u64(kind, to, size, type == 2 ? 3 : 4);
	}
	return NOT_AVAILABLE;
}
API DSGetBufferInfo(void *stream, void *buffer, int32_t command, int32_t *kind, void *to, size_t *size) {
	ENTER;
	int i = of(buffer);
	if (stream != STREAM || i < 0) FAIL(BAD_BUFFER, "not announced");
	return leave(image_info(&buffers[i], command, kind, to, size), "no such information");
}
#ifndef OLD
API DSGetNumBufferParts(void *stream, void *buffer, uint32_t *n) {
	ENTER;
	int i = of(buffer);
	if (stream != STREAM || i < 0) FAIL(BAD_BUFFER, "not announced");
	*n = buffers[i].parts;
	LEAVE;
}
API DSGetBufferPartInfo(void *stream, void *buffer, uint32_t part, int32_t command, int32_t *kind, void *to, size_t *size) {
	ENTER;
	int i = of(buffer);
	if (stream != STREAM || i < 0 || (int)part >= buffers[i].parts) FAIL(BAD_INDEX, "no such part");
	struct buffer *b = &buffers[i];
	size_t n = image_size();
	uint8_t *base = b->memory + part * n;
	switch (command) {
	case 0: *kind = 10; return leave(put(to, size, &base, sizeof base), "");
	case 1: return leave(put_size(kind, to, size, n), "");
	case 2: return leave(put_size(kind, to, size, 1), "");
	case 3: return leave(put_u64(kind, to, size, b->format), "");
	case 4: return leave(put_u64(kind, to, size, 4), "");
	case 5: return leave(put_size(kind, to, size, b->width), "");
	case 6: return leave(put_size(kind, to, size, b->height), "");
	}
	FAIL(NOT_AVAILABLE, "no such information");
}
struct __attribute__((packed)) stacked { int32_t command, kind; void *to; size_t size; int32_t result; };
API DSGetBufferInfoStacked(void *stream, void *buffer, struct stacked *s, size_t n) {
	ENTER;
	int i = of(buffer);
	if (stream != STREAM || i < 0) FAIL(BAD_BUFFER, "not announced");
	for (; n > 0; n--, s++) {
		int32_t kind = 0;
		size_t size = s->size;
		s->result = image_info(&buffers[i], s->command, &kind, s->to, &size);
		s->kind = kind, s->size = size;
	}
	LEAVE;
}
#endif

// ---- events

API GCRegisterEvent(void *module, int32_t what, void **event) {
	ENTER;
	if (module != STREAM || what != 1) FAIL(NOT_AVAILABLE, "streams have events of new buffers");
	if (registered) FAIL(BUSY, "registered already");
	registered = 1;
	*event = EVENT;
	LEAVE;
}
API GCUnregisterEvent(void *module, int32_t what) {
	(void)what;
	ENTER;
	if (module != STREAM || !registered) FAIL(BAD_HANDLE, "not registered");
	registered = 0;
	LEAVE;
}
API EventGetData(void *event, void *to, size_t *size, uint64_t timeout) {
	ENTER;
	if (event != EVENT || *size < 16) FAIL(BAD_PARAMETER, "no event");
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	uint64_t ns = until.tv_nsec + (timeout % 1000) * 1000000;
	until.tv_sec += timeout / 1000 + ns / 1000000000;
	until.tv_nsec = ns % 1000000000;
	while (outputs == 0 && !killed && !unplugged) {
		if (pthread_cond_timedwait(&woken, &lock, &until) == ETIMEDOUT) FAIL(TIMEOUT, "no buffer in time");
	}
	if (unplugged) FAIL(IO, "the camera does not answer");
	if (killed) {
		killed = 0;
		FAIL(ABORT, "EventKill was called");
	}
	void *data[2] = {BUFFER(output[0]), buffers[output[0]].user};
	memmove(output, output + 1, --outputs * sizeof *output);
	memcpy(to, data, 16);
	*size = 16;
	LEAVE;
}
API EventFlush(void *event) {
	ENTER;
	if (event != EVENT) FAIL(BAD_HANDLE, "no event");
	LEAVE;
}
API EventKill(void *event) {
	ENTER;
	if (event != EVENT) FAIL(BAD_HANDLE, "no event");
	killed = 1;
	pthread_cond_broadcast(&woken);
	LEAVE;
}
