// The functions of a GenTL producer that the helper uses, each with its producer before its
// arguments. Handles are integers here: producers are free to hand out numbers that are no
// addresses. A function that fails puts what the producer says of it into text, on the same
// thread, as GCGetLastError demands.
//
// Numbers are those of GenTL 1.6 (EMVA).
#ifndef OPU_GENTL_H
#define OPU_GENTL_H

#include <stddef.h>
#include <stdint.h>

enum { TEXT_SIZE = 512, NOT_IMPLEMENTED = -1003 };

typedef struct producer producer;

producer *producer_load(const char *path, char *text); // NULL: text says why

int32_t producer_init(producer *p, char *text);
int32_t producer_close(producer *p, char *text);
int32_t producer_info(producer *p, int32_t command, void *to, size_t *size, char *text);

int32_t tl_open(producer *p, uintptr_t *tl, char *text);
int32_t tl_close(producer *p, uintptr_t tl, char *text);
int32_t tl_update(producer *p, uintptr_t tl, uint64_t timeout, char *text);
int32_t tl_count(producer *p, uintptr_t tl, uint32_t *n, char *text);
int32_t tl_id(producer *p, uintptr_t tl, uint32_t index, char *id, size_t *size, char *text);
int32_t tl_interface_info(producer *p, uintptr_t tl, const char *id, int32_t command, void *to, size_t *size, char *text);
int32_t tl_open_interface(producer *p, uintptr_t tl, const char *id, uintptr_t *link, char *text);

int32_t if_close(producer *p, uintptr_t link, char *text);
int32_t if_update(producer *p, uintptr_t link, uint64_t timeout, char *text);
int32_t if_count(producer *p, uintptr_t link, uint32_t *n, char *text);
int32_t if_id(producer *p, uintptr_t link, uint32_t index, char *id, size_t *size, char *text);
int32_t if_device_info(producer *p, uintptr_t link, const char *id, int32_t command, void *to, size_t *size, char *text);
int32_t if_open_device(producer *p, uintptr_t link, const char *id, int32_t flags, uintptr_t *device, char *text);

int32_t dev_close(producer *p, uintptr_t device, char *text);
int32_t dev_info(producer *p, uintptr_t device, int32_t command, void *to, size_t *size, char *text);
int32_t dev_port(producer *p, uintptr_t device, uintptr_t *port, char *text);
int32_t dev_streams(producer *p, uintptr_t device, uint32_t *n, char *text);
int32_t dev_stream_id(producer *p, uintptr_t device, uint32_t index, char *id, size_t *size, char *text);
int32_t dev_open_stream(producer *p, uintptr_t device, const char *id, uintptr_t *stream, char *text);

int32_t port_read(producer *p, uintptr_t port, uint64_t address, void *to, size_t *size, char *text);
int32_t port_write(producer *p, uintptr_t port, uint64_t address, const void *from, size_t *size, char *text);
int32_t port_urls(producer *p, uintptr_t port, uint32_t *n, char *text); // 1 if the producer is older than the count
int32_t port_url(producer *p, uintptr_t port, uint32_t index, char *url, size_t *size, char *text);

int32_t ds_close(producer *p, uintptr_t stream, char *text);
int32_t ds_info(producer *p, uintptr_t stream, int32_t command, void *to, size_t *size, char *text);
int32_t ds_announce(producer *p, uintptr_t stream, void *memory, size_t size, uintptr_t user, uintptr_t *buffer, char *text);
int32_t ds_revoke(producer *p, uintptr_t stream, uintptr_t buffer, char *text);
int32_t ds_queue(producer *p, uintptr_t stream, uintptr_t buffer, char *text);
int32_t ds_flush(producer *p, uintptr_t stream, int32_t operation, char *text);
int32_t ds_start(producer *p, uintptr_t stream, char *text);
int32_t ds_stop(producer *p, uintptr_t stream, int32_t flags, char *text);

int32_t event_register(producer *p, uintptr_t stream, uintptr_t *event, char *text);
int32_t event_unregister(producer *p, uintptr_t stream, char *text);
int32_t event_flush(producer *p, uintptr_t event, char *text);
int32_t event_kill(producer *p, uintptr_t event, char *text);
int32_t event_next(producer *p, uintptr_t event, uint64_t timeout, uintptr_t *buffer, uintptr_t *user, char *text);

// What a buffer, or a part of one, holds. Bit i of known is set if the producer told item i.
enum {
	INCOMPLETE, FRAME_ID, TIME_NS, TIME_TICKS, FILLED, IMAGE_OFFSET, WIDTH, HEIGHT,
	FORMAT, NAMESPACE, PAYLOAD_TYPE, PAD_X, TOO_LARGE, DELIVERED_HEIGHT, BASE, PART_TYPE, ITEMS
};
typedef struct {
	uint64_t item[ITEMS];
	uint32_t known;
} contents;

int32_t buffer_contents(producer *p, uintptr_t stream, uintptr_t buffer, contents *c, char *text);
int32_t buffer_parts(producer *p, uintptr_t stream, uintptr_t buffer, uint32_t *n, char *text);
int32_t part_contents(producer *p, uintptr_t stream, uintptr_t buffer, uint32_t part, contents *c, char *text);

#endif
