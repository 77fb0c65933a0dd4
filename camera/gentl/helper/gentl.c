//go:build linux && cgo

#define _GNU_SOURCE
#include "gentl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Every function of version 1.0 that is used must be there; those of later versions are
// looked at when they are wanted.
#define REQUIRED(F) \
	F(GCInitLib, (void)) \
	F(GCCloseLib, (void)) \
	F(GCGetInfo, (int32_t, int32_t *, void *, size_t *)) \
	F(GCGetLastError, (int32_t *, char *, size_t *)) \
	F(GCReadPort, (void *, uint64_t, void *, size_t *)) \
	F(GCWritePort, (void *, uint64_t, const void *, size_t *)) \
	F(GCRegisterEvent, (void *, int32_t, void **)) \
	F(GCUnregisterEvent, (void *, int32_t)) \
	F(EventGetData, (void *, void *, size_t *, uint64_t)) \
	F(EventFlush, (void *)) \
	F(EventKill, (void *)) \
	F(TLOpen, (void **)) \
	F(TLClose, (void *)) \
	F(TLUpdateInterfaceList, (void *, uint8_t *, uint64_t)) \
	F(TLGetNumInterfaces, (void *, uint32_t *)) \
	F(TLGetInterfaceID, (void *, uint32_t, char *, size_t *)) \
	F(TLGetInterfaceInfo, (void *, const char *, int32_t, int32_t *, void *, size_t *)) \
	F(TLOpenInterface, (void *, const char *, void **)) \
	F(IFClose, (void *)) \
	F(IFUpdateDeviceList, (void *, uint8_t *, uint64_t)) \
	F(IFGetNumDevices, (void *, uint32_t *)) \
	F(IFGetDeviceID, (void *, uint32_t, char *, size_t *)) \
	F(IFGetDeviceInfo, (void *, const char *, int32_t, int32_t *, void *, size_t *)) \
	F(IFOpenDevice, (void *, const char *, int32_t, void **)) \
	F(DevClose, (void *)) \
	F(DevGetInfo, (void *, int32_t, int32_t *, void *, size_t *)) \
	F(DevGetPort, (void *, void **)) \
	F(DevGetNumDataStreams, (void *, uint32_t *)) \
	F(DevGetDataStreamID, (void *, uint32_t, char *, size_t *)) \
	F(DevOpenDataStream, (void *, const char *, void **)) \
	F(DSClose, (void *)) \
	F(DSGetInfo, (void *, int32_t, int32_t *, void *, size_t *)) \
	F(DSAnnounceBuffer, (void *, void *, size_t, void *, void **)) \
	F(DSRevokeBuffer, (void *, void *, void **, void **)) \
	F(DSQueueBuffer, (void *, void *)) \
	F(DSFlushQueue, (void *, int32_t)) \
	F(DSStartAcquisition, (void *, int32_t, uint64_t)) \
	F(DSStopAcquisition, (void *, int32_t)) \
	F(DSGetBufferInfo, (void *, void *, int32_t, int32_t *, void *, size_t *))

#define OPTIONAL(F) \
	F(GCGetPortURL, (void *, char *, size_t *)) \
	F(GCGetNumPortURLs, (void *, uint32_t *)) \
	F(GCGetPortURLInfo, (void *, uint32_t, int32_t, int32_t *, void *, size_t *)) \
	F(DSGetNumBufferParts, (void *, void *, uint32_t *)) \
	F(DSGetBufferPartInfo, (void *, void *, uint32_t, int32_t, int32_t *, void *, size_t *)) \
	F(DSGetBufferInfoStacked, (void *, void *, void *, size_t))

struct producer {
	void *library;
#define MEMBER(name, arguments) int32_t (*name) arguments;
	REQUIRED(MEMBER)
	OPTIONAL(MEMBER)
#undef MEMBER
};

producer *producer_load(const char *path, char *text) {
	// DEEPBIND: two libraries that bring their own GenApi must not find each other's.
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
	if (library == NULL) {
		snprintf(text, TEXT_SIZE, "%s", dlerror());
		return NULL;
	}
	producer *p = calloc(1, sizeof *p);
	if (p == NULL) {
		snprintf(text, TEXT_SIZE, "out of memory");
		return NULL;
	}
	p->library = library;
#define FIND(name, arguments) p->name = (int32_t (*) arguments)dlsym(library, #name);
	REQUIRED(FIND)
	OPTIONAL(FIND)
#undef FIND
#define DEMAND(name, arguments) \
	if (p->name == NULL) { \
		snprintf(text, TEXT_SIZE, "it has no function " #name "; it is no GenTL producer"); \
		free(p); \
		return NULL; \
	}
	REQUIRED(DEMAND)
#undef DEMAND
	return p;
}

// tell asks the producer for words about an error.
static int32_t tell(producer *p, int32_t code, char *text) {
	text[0] = 0;
	if (code != 0) {
		int32_t last = 0;
		size_t size = TEXT_SIZE;
		if (p->GCGetLastError(&last, text, &size) != 0 || last != code) {
			text[0] = 0;
		}
		text[TEXT_SIZE - 1] = 0;
	}
	return code;
}

#define H(handle) ((void *)(handle))
#define CALL(call) return tell(p, p->call, text)

int32_t producer_init(producer *p, char *text) { CALL(GCInitLib()); }
int32_t producer_close(producer *p, char *text) { CALL(GCCloseLib()); }

int32_t producer_info(producer *p, int32_t command, void *to, size_t *size, char *text) {
	int32_t type = 0;
	CALL(GCGetInfo(command, &type, to, size));
}

int32_t tl_open(producer *p, uintptr_t *tl, char *text) { CALL(TLOpen((void **)tl)); }
int32_t tl_close(producer *p, uintptr_t tl, char *text) { CALL(TLClose(H(tl))); }
int32_t tl_update(producer *p, uintptr_t tl, uint64_t timeout, char *text) {
	uint8_t changed = 0;
	CALL(TLUpdateInterfaceList(H(tl), &changed, timeout));
}
int32_t tl_count(producer *p, uintptr_t tl, uint32_t *n, char *text) { CALL(TLGetNumInterfaces(H(tl), n)); }
int32_t tl_id(producer *p, uintptr_t tl, uint32_t index, char *id, size_t *size, char *text) {
	CALL(TLGetInterfaceID(H(tl), index, id, size));
}
int32_t tl_interface_info(producer *p, uintptr_t tl, const char *id, int32_t command, void *to, size_t *size, char *text) {
	int32_t type = 0;
	CALL(TLGetInterfaceInfo(H(tl), id, command, &type, to, size));
}
int32_t tl_open_interface(producer *p, uintptr_t tl, const char *id, uintptr_t *link, char *text) {
	CALL(TLOpenInterface(H(tl), id, (void **)link));
}

int32_t if_close(producer *p, uintptr_t link, char *text) { CALL(IFClose(H(link))); }
int32_t if_update(producer *p, uintptr_t link, uint64_t timeout, char *text) {
	uint8_t changed = 0;
	CALL(IFUpdateDeviceList(H(link), &changed, timeout));
}
int32_t if_count(producer *p, uintptr_t link, uint32_t *n, char *text) { CALL(IFGetNumDevices(H(link), n)); }
int32_t if_id(producer *p, uintptr_t link, uint32_t index, char *id, size_t *size, char *text) {
	CALL(IFGetDeviceID(H(link), index, id, size));
}
int32_t if_device_info(producer *p, uintptr_t link, const char *id, int32_t command, void *to, size_t *size, char *text) {
	int32_t type = 0;
	CALL(IFGetDeviceInfo(H(link), id, command, &type, to, size));
}
int32_t if_open_device(producer *p, uintptr_t link, const char *id, int32_t flags, uintptr_t *device, char *text) {
	CALL(IFOpenDevice(H(link), id, flags, (void **)device));
}

int32_t dev_close(producer *p, uintptr_t device, char *text) { CALL(DevClose(H(device))); }
int32_t dev_info(producer *p, uintptr_t device, int32_t command, void *to, size_t *size, char *text) {
	int32_t type = 0;
	CALL(DevGetInfo(H(device), command, &type, to, size));
}
int32_t dev_port(producer *p, uintptr_t device, uintptr_t *port, char *text) { CALL(DevGetPort(H(device), (void **)port)); }
int32_t dev_streams(producer *p, uintptr_t device, uint32_t *n, char *text) { CALL(DevGetNumDataStreams(H(device), n)); }
int32_t dev_stream_id(producer *p, uintptr_t device, uint32_t index, char *id, size_t *size, char *text) {
	CALL(DevGetDataStreamID(H(device), index, id, size));
}
int32_t dev_open_stream(producer *p, uintptr_t device, const char *id, uintptr_t *stream, char *text) {
	CALL(DevOpenDataStream(H(device), id, (void **)stream));
}

int32_t port_read(producer *p, uintptr_t port, uint64_t address, void *to, size_t *size, char *text) {
	CALL(GCReadPort(H(port), address, to, size));
}
int32_t port_write(producer *p, uintptr_t port, uint64_t address, const void *from, size_t *size, char *text) {
	CALL(GCWritePort(H(port), address, from, size));
}
int32_t port_urls(producer *p, uintptr_t port, uint32_t *n, char *text) {
	if (p->GCGetNumPortURLs == NULL || p->GCGetPortURLInfo == NULL) {
		*n = 1;
		return 0;
	}
	CALL(GCGetNumPortURLs(H(port), n));
}
int32_t port_url(producer *p, uintptr_t port, uint32_t index, char *url, size_t *size, char *text) {
	if (p->GCGetNumPortURLs == NULL || p->GCGetPortURLInfo == NULL) {
		if (p->GCGetPortURL == NULL) {
			return NOT_IMPLEMENTED;
		}
		CALL(GCGetPortURL(H(port), url, size));
	}
	int32_t type = 0;
	CALL(GCGetPortURLInfo(H(port), index, 0, &type, url, size));
}

int32_t ds_close(producer *p, uintptr_t stream, char *text) { CALL(DSClose(H(stream))); }
int32_t ds_info(producer *p, uintptr_t stream, int32_t command, void *to, size_t *size, char *text) {
	int32_t type = 0;
	CALL(DSGetInfo(H(stream), command, &type, to, size));
}
int32_t ds_announce(producer *p, uintptr_t stream, void *memory, size_t size, uintptr_t user, uintptr_t *buffer, char *text) {
	CALL(DSAnnounceBuffer(H(stream), memory, size, H(user), (void **)buffer));
}
int32_t ds_revoke(producer *p, uintptr_t stream, uintptr_t buffer, char *text) {
	void *memory = NULL, *user = NULL;
	CALL(DSRevokeBuffer(H(stream), H(buffer), &memory, &user));
}
int32_t ds_queue(producer *p, uintptr_t stream, uintptr_t buffer, char *text) { CALL(DSQueueBuffer(H(stream), H(buffer))); }
int32_t ds_flush(producer *p, uintptr_t stream, int32_t operation, char *text) { CALL(DSFlushQueue(H(stream), operation)); }
int32_t ds_start(producer *p, uintptr_t stream, char *text) { CALL(DSStartAcquisition(H(stream), 0, UINT64_MAX)); }
int32_t ds_stop(producer *p, uintptr_t stream, int32_t flags, char *text) { CALL(DSStopAcquisition(H(stream), flags)); }

enum { NEW_BUFFER = 1 };

int32_t event_register(producer *p, uintptr_t stream, uintptr_t *event, char *text) {
	CALL(GCRegisterEvent(H(stream), NEW_BUFFER, (void **)event));
}
int32_t event_unregister(producer *p, uintptr_t stream, char *text) { CALL(GCUnregisterEvent(H(stream), NEW_BUFFER)); }
int32_t event_flush(producer *p, uintptr_t event, char *text) { CALL(EventFlush(H(event))); }
int32_t event_kill(producer *p, uintptr_t event, char *text) { CALL(EventKill(H(event))); }

int32_t event_next(producer *p, uintptr_t event, uint64_t timeout, uintptr_t *buffer, uintptr_t *user, char *text) {
	struct {
		void *buffer, *user;
	} data = {NULL, NULL};
	size_t size = sizeof data;
	int32_t code = p->EventGetData(H(event), &data, &size, timeout);
	*buffer = (uintptr_t)data.buffer;
	*user = (uintptr_t)data.user;
	return tell(p, code, text);
}

// The command of each item, of buffers and of their parts; -1: there is none.
static const int32_t of_buffer[ITEMS] = {
	[INCOMPLETE] = 7, [FRAME_ID] = 16, [TIME_NS] = 28, [TIME_TICKS] = 3, [FILLED] = 9, [IMAGE_OFFSET] = 18, [WIDTH] = 10,
	[HEIGHT] = 11, [FORMAT] = 20, [NAMESPACE] = 21, [PAYLOAD_TYPE] = 19, [PAD_X] = 14, [TOO_LARGE] = 29,
	[DELIVERED_HEIGHT] = 22, [BASE] = 0, [PART_TYPE] = -1,
};
static const int32_t of_part[ITEMS] = {
	[INCOMPLETE] = -1, [FRAME_ID] = -1, [TIME_NS] = -1, [TIME_TICKS] = -1, [FILLED] = 1, [IMAGE_OFFSET] = -1, [WIDTH] = 5,
	[HEIGHT] = 6, [FORMAT] = 3, [NAMESPACE] = 4, [PAYLOAD_TYPE] = -1, [PAD_X] = 9, [TOO_LARGE] = -1,
	[DELIVERED_HEIGHT] = 11, [BASE] = 0, [PART_TYPE] = 2,
};

// DS_BUFFER_INFO_STACKED of GenTL 1.6: 28 bytes.
typedef struct __attribute__((packed)) {
	int32_t command, type;
	void *to;
	size_t size;
	int32_t result;
} stacked;

// Items are integers of different widths; in eight bytes of zeros they all read the same.
int32_t buffer_contents(producer *p, uintptr_t stream, uintptr_t buffer, contents *c, char *text) {
	memset(c, 0, sizeof *c);
	if (p->DSGetBufferInfoStacked != NULL) { // one call instead of fifteen
		stacked ask[ITEMS];
		size_t n = 0;
		int of[ITEMS];
		for (int i = 0; i < ITEMS; i++) {
			if (of_buffer[i] >= 0) {
				of[n] = i;
				ask[n++] = (stacked){of_buffer[i], 0, &c->item[i], sizeof c->item[i], 0};
			}
		}
		if (p->DSGetBufferInfoStacked(H(stream), H(buffer), ask, n) == 0) {
			for (size_t i = 0; i < n; i++) {
				if (ask[i].result == 0) {
					c->known |= 1u << of[i];
				}
			}
			return 0;
		}
		memset(c, 0, sizeof *c);
	}
	int32_t last = 0;
	for (int i = 0; i < ITEMS; i++) {
		if (of_buffer[i] < 0) {
			continue;
		}
		int32_t type = 0;
		size_t size = sizeof c->item[i];
		int32_t code = p->DSGetBufferInfo(H(stream), H(buffer), of_buffer[i], &type, &c->item[i], &size);
		if (code == 0) {
			c->known |= 1u << i;
		} else {
			last = code;
			c->item[i] = 0;
		}
	}
	return c->known != 0 ? 0 : tell(p, last, text);
}

int32_t buffer_parts(producer *p, uintptr_t stream, uintptr_t buffer, uint32_t *n, char *text) {
	if (p->DSGetNumBufferParts == NULL || p->DSGetBufferPartInfo == NULL) {
		return NOT_IMPLEMENTED;
	}
	CALL(DSGetNumBufferParts(H(stream), H(buffer), n));
}

int32_t part_contents(producer *p, uintptr_t stream, uintptr_t buffer, uint32_t part, contents *c, char *text) {
	memset(c, 0, sizeof *c);
	int32_t last = 0;
	for (int i = 0; i < ITEMS; i++) {
		if (of_part[i] < 0) {
			continue;
		}
		int32_t type = 0;
		size_t size = sizeof c->item[i];
		int32_t code = p->DSGetBufferPartInfo(H(stream), H(buffer), part, of_part[i], &type, &c->item[i], &size);
		if (code == 0) {
			c->known |= 1u << i;
		} else {
			last = code;
			c->item[i] = 0;
		}
	}
	return c->known != 0 ? 0 : tell(p, last, text);
}
