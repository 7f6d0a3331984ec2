/* SPDX-License-Identifier: Apache-2.0 */
#include "base/queue.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#include "tests/unit/harness.h"

static bool
readable(const struct dpc_queue *queue)
{
    struct pollfd watched = {.fd = dpc_queue_fd(queue), .events = POLLIN};
    return poll(&watched, 1, 0) == 1;
}

static void
items_come_in_order_up_to_the_capacity(void)
{
    int items[4];
    struct dpc_queue *queue = dpc_queue_create(3, NULL);
    for (int lap = 0; lap < 5; lap++) {
        for (int i = 0; i < 3; i++)
            CU_ASSERT_EQUAL(dpc_queue_put(queue, &items[i]), DPC_OK);
        CU_ASSERT_EQUAL(dpc_queue_put(queue, &items[3]), DPC_EBUSY);
        for (int i = 0; i < 3; i++)
            CU_ASSERT_PTR_EQUAL(dpc_queue_take(queue), &items[i]);
        CU_ASSERT_PTR_NULL(dpc_queue_take(queue));
        CU_ASSERT_EQUAL(dpc_queue_put(queue, &items[0]), DPC_OK); /* so that the ring turns */
        CU_ASSERT_PTR_EQUAL(dpc_queue_wait(queue), &items[0]);
    }
    CU_ASSERT_PTR_NULL(dpc_queue_destroy(queue));
}

static void
the_descriptor_is_readable_while_there_are_items(void)
{
    int item;
    struct dpc_queue *queue = dpc_queue_create(4, NULL);
    CU_ASSERT_FALSE(readable(queue));
    CU_ASSERT_EQUAL(dpc_queue_put(queue, &item), DPC_OK);
    CU_ASSERT_EQUAL(dpc_queue_put(queue, &item), DPC_OK);
    CU_ASSERT_TRUE(readable(queue));
    CU_ASSERT_PTR_NOT_NULL(dpc_queue_take(queue));
    CU_ASSERT_TRUE(readable(queue));
    CU_ASSERT_PTR_NOT_NULL(dpc_queue_take(queue));
    CU_ASSERT_FALSE(readable(queue));
    dpc_queue_destroy(queue);
}

static void
a_closed_queue_takes_nothing_but_gives_what_it_has(void)
{
    int item;
    struct dpc_queue *queue = dpc_queue_create(2, NULL);
    CU_ASSERT_EQUAL(dpc_queue_put(queue, &item), DPC_OK);
    dpc_queue_close(queue);
    CU_ASSERT_EQUAL(dpc_queue_put(queue, &item), DPC_ECLOSED);
    CU_ASSERT_PTR_EQUAL(dpc_queue_wait(queue), &item);
    CU_ASSERT_PTR_NULL(dpc_queue_wait(queue));
    dpc_queue_destroy(queue);
}

static int dropped_count;

static void
count_drop(void *item)
{
    (void)item;
    dropped_count++;
}

static void
what_nobody_took_is_dropped(void)
{
    int item;
    struct dpc_queue *queue = dpc_queue_create(4, count_drop);
    dropped_count = 0;
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(dpc_queue_put(queue, &item), DPC_OK);
    CU_ASSERT_PTR_NOT_NULL(dpc_queue_take(queue));
    dpc_queue_destroy(queue);
    CU_ASSERT_EQUAL(dropped_count, 2);
    CU_ASSERT_PTR_NULL(dpc_queue_destroy(NULL));
}

enum { PRODUCERS = 3, CONSUMERS = 3, ITEMS_EACH = 5000 };

struct traffic {
    struct dpc_queue *queue;
    _Atomic uint64_t sum;
    _Atomic uint32_t taken;
};

static void *
produce(void *context)
{
    struct traffic *traffic = context;
    for (uintptr_t i = 1; i <= ITEMS_EACH; i++) {
        while (dpc_queue_put(traffic->queue, (void *)i) == DPC_EBUSY)
            sched_yield();
    }
    return NULL;
}

static void *
consume(void *context)
{
    struct traffic *traffic = context;
    void *item;
    while ((item = dpc_queue_wait(traffic->queue)) != NULL) {
        traffic->sum += (uintptr_t)item;
        traffic->taken++;
    }
    return NULL;
}

static void
threads_lose_and_double_nothing(void)
{
    struct traffic traffic = {.queue = dpc_queue_create(8, NULL)};
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&consumers[i], NULL, consume, &traffic), 0);
    for (int i = 0; i < PRODUCERS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&producers[i], NULL, produce, &traffic), 0);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i], NULL);
    dpc_queue_close(traffic.queue);
    for (int i = 0; i < CONSUMERS; i++)
        pthread_join(consumers[i], NULL);
    CU_ASSERT_EQUAL(traffic.taken, PRODUCERS * ITEMS_EACH);
    CU_ASSERT_EQUAL(traffic.sum, (uint64_t)PRODUCERS * ITEMS_EACH * (ITEMS_EACH + 1) / 2);
    CU_ASSERT_FALSE(readable(traffic.queue));
    dpc_queue_destroy(traffic.queue);
}

static const struct dpc_test tests[] = {
    {"items come in order up to the capacity", items_come_in_order_up_to_the_capacity},
    {"readable while there are items", the_descriptor_is_readable_while_there_are_items},
    {"a closed queue gives what it has", a_closed_queue_takes_nothing_but_gives_what_it_has},
    {"what nobody took is dropped", what_nobody_took_is_dropped},
    {"threads lose and double nothing", threads_lose_and_double_nothing},
};
DPC_TEST_MAIN("base/queue", tests)
