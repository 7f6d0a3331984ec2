/* SPDX-License-Identifier: Apache-2.0
 * A ring under a mutex. The eventfd is a semaphore that counts items, so that it is readable
 * exactly while there is something to take. */
#include "base/queue.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"

struct dpc_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*drop)(void *);
    int fd;
    bool closed;
    size_t capacity, first, count;
    void *items[];
};

struct dpc_queue *
dpc_queue_create(size_t capacity, void (*drop)(void *item))
{
    struct dpc_queue *queue = dpc_alloc(1, sizeof *queue + capacity * sizeof(void *));
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, NULL);
    queue->drop = drop;
    queue->capacity = capacity;
    queue->fd = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
    if (queue->fd < 0)
        abort(); /* no descriptor left at start-up: nothing can be served */
    return queue;
}

struct dpc_queue *
dpc_queue_destroy(struct dpc_queue *queue)
{
    if (!queue)
        return NULL;
    void *item;
    while ((item = dpc_queue_take(queue)) != NULL) {
        if (queue->drop)
            queue->drop(item);
    }
    close(queue->fd);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
    return dpc_free(queue);
}

int
dpc_queue_fd(const struct dpc_queue *queue)
{
    return queue->fd;
}

int
dpc_queue_put(struct dpc_queue *queue, void *item)
{
    int code = DPC_OK;
    pthread_mutex_lock(&queue->lock);
    if (queue->closed) {
        code = DPC_ECLOSED;
    } else if (queue->count == queue->capacity) {
        code = DPC_EBUSY;
    } else {
        queue->items[(queue->first + queue->count++) % queue->capacity] = item;
        (void)eventfd_write(queue->fd, 1);
        pthread_cond_signal(&queue->changed);
    }
    pthread_mutex_unlock(&queue->lock);
    return code;
}

/* With the lock held and count > 0. */
static void *
pop(struct dpc_queue *queue)
{
    eventfd_t one;
    void *item = queue->items[queue->first];
    queue->first = (queue->first + 1) % queue->capacity;
    queue->count--;
    (void)eventfd_read(queue->fd, &one);
    return item;
}

void *
dpc_queue_take(struct dpc_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    void *item = queue->count ? pop(queue) : NULL;
    pthread_mutex_unlock(&queue->lock);
    return item;
}

void *
dpc_queue_wait(struct dpc_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    while (!queue->count && !queue->closed)
        pthread_cond_wait(&queue->changed, &queue->lock);
    void *item = queue->count ? pop(queue) : NULL;
    pthread_mutex_unlock(&queue->lock);
    return item;
}

void
dpc_queue_close(struct dpc_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}
