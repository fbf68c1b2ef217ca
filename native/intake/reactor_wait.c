/* wait: epoll with a time-out below a millisecond. epoll_pwait2 (Linux 5.11) where the kernel has
 * it, else a timerfd in the same epoll set. */
#include "reactor.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441 /* the same number on every architecture */
#endif

typedef struct wait_time { /* __kernel_timespec: 64 bit on every architecture */
    int64_t seconds;
    int64_t ns;
} wait_time;

static int wait_precise(int epoll, struct epoll_event *events, int64_t timeout_ns) {
    wait_time time = {timeout_ns / PSTK_NS_PER_S, timeout_ns % PSTK_NS_PER_S};
    return (int)syscall(SYS_epoll_pwait2, epoll, events, REACTOR_EVENTS_MAX,
                        timeout_ns < 0 ? NULL : &time, NULL, 0);
}

static int watch(int epoll, int fd, uint32_t key) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = key};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int pstk_reactor_wait_open(pstk_intake *intake, pstk_error *err) {
    intake->epoll = epoll_create1(EPOLL_CLOEXEC);
    intake->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (intake->epoll < 0 || intake->wake < 0 ||
        watch(intake->epoll, intake->wake, REACTOR_KEY_WAKE) < 0)
        return pstk_fail(err, PSTK_E_SYSTEM, errno, "intake: cannot make an epoll set");
    struct epoll_event events[REACTOR_EVENTS_MAX];
    if (wait_precise(intake->epoll, events, 0) >= 0 || (errno != ENOSYS && errno != EPERM))
        return PSTK_OK;
    return pstk_reactor_wait_timer(intake, err);
}

int pstk_reactor_wait_timer(pstk_intake *intake, pstk_error *err) {
    intake->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (intake->timer < 0 || watch(intake->epoll, intake->timer, REACTOR_KEY_TIMER) < 0)
        return pstk_fail(err, PSTK_E_SYSTEM, errno, "intake: cannot make a timer");
    return PSTK_OK;
}

static int wait_timer(pstk_intake *intake, struct epoll_event *events, int64_t timeout_ns) {
    if (timeout_ns <= 0)
        return epoll_wait(intake->epoll, events, REACTOR_EVENTS_MAX, timeout_ns < 0 ? -1 : 0);
    struct itimerspec due = {.it_value = {.tv_sec = (time_t)(timeout_ns / PSTK_NS_PER_S),
                                          .tv_nsec = (long)(timeout_ns % PSTK_NS_PER_S)}};
    if (timerfd_settime(intake->timer, 0, &due, NULL) < 0)
        return -1;
    return epoll_wait(intake->epoll, events, REACTOR_EVENTS_MAX, -1);
}

int pstk_reactor_wait(pstk_intake *intake, struct epoll_event *events, int64_t timeout_ns) {
    int count = intake->timer < 0 ? wait_precise(intake->epoll, events, timeout_ns)
                                  : wait_timer(intake, events, timeout_ns);
    return count < 0 && errno == EINTR ? 0 : count;
}
