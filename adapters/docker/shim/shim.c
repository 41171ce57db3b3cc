/* Waits until the container is on the network, then becomes the container's own program.
 *
 * It is the first word of a container's entrypoint: `/w/w PROGRAM ARGUMENT...`. Nothing is needed of the image: no libc,
 * no loader, no shell, no file system to write to, no user id; it is built without any of them. It asks the kernel by
 * netlink (rtnetlink(7)) and waits for the kernel to tell, it never polls. It waits for ever, as a container that a
 * restart policy brings up at boot must wait for the agent; SIGTERM, SIGINT, SIGHUP and SIGQUIT end it at once, though
 * it is process 1 and has no default action for them.
 *
 * Exit status 1 and one line on stderr if there is nothing to become; the lines are those of Go's os/exec, which scripts
 * for Weave Net compare with.
 */
#include <asm/unistd.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>

#ifndef DEVICE
#define DEVICE "ethwe"
#endif
#define AF_INET 2
#define IFF_UP 1
#define MULTICAST_NET 0xe0 /* first byte of 224.0.0.0/4 */
#define MULTICAST_BITS 4
#define SAY_AFTER_S 30 /* well beyond any start of an agent, so that a healthy host never sees the line */
#define PATH_SIZE 4096 /* PATH_MAX; a longer name cannot be opened */

#if defined(__x86_64__)
#define HANDLER_HAS_RESTORER 1
static long call(long n, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
__asm__(".globl _start\n_start:\n xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call begin\n"
        ".globl restore\nrestore:\n mov $15,%eax\n syscall\n");
#elif defined(__aarch64__)
static long call(long n, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
                  x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\n mov x29,#0\n mov x30,#0\n mov x0,sp\n bl begin\n");
#else
#error "add the system call convention of this machine"
#endif

/* A freestanding compiler may still call these two. */
void *memset(void *at, int value, size_t size) {
    for (volatile char *p = at; size; size--) *p++ = (char)value;
    return at;
}
void *memcpy(void *to, const void *from, size_t size) {
    volatile char *p = to;
    for (const char *q = from; size; size--) *p++ = *q++;
    return to;
}

static size_t length(const char *text) {
    size_t size = 0;
    while (text[size]) size++;
    return size;
}

static int is_same(const char *one, const char *other) {
    while (*one && *one == *other) one++, other++;
    return *one == *other;
}

static void say(const char *text) { call(__NR_write, 2, (long)text, (long)length(text), 0, 0, 0); }

static void leave(int status) {
    for (;;) call(__NR_exit_group, status, 0, 0, 0, 0, 0);
}

static const char *reason(long error) {
    switch (-error) {
    case 2: return "no such file or directory";
    case 7: return "argument list too long";
    case 8: return "exec format error";
    case 12: return "cannot allocate memory";
    case 13: return "permission denied";
    case 1: return "operation not permitted";
    case 20: return "not a directory";
    case 26: return "text file busy";
    case 36: return "file name too long";
    case 40: return "too many levels of symbolic links";
    default: return "input/output error";
    }
}

static void fail(const char *name, const char *why) {
    say("exec: \""), say(name), say("\": "), say(why), say("\n");
    leave(1);
}

static void on_signal(int number) { leave(128 + number); }

#ifdef HANDLER_HAS_RESTORER
extern void restore(void);
#endif

static void catch_signals(void) {
    static const int numbers[] = {1, 2, 3, 15};
    struct {
        void (*handler)(int);
        unsigned long flags;
#ifdef HANDLER_HAS_RESTORER
        void (*restorer)(void);
#endif
        unsigned long mask;
    } action;
    memset(&action, 0, sizeof action);
    action.handler = on_signal;
#ifdef HANDLER_HAS_RESTORER
    action.flags = 0x04000000; /* SA_RESTORER */
    action.restorer = restore;
#endif
    /* An exec sets them back to their defaults. */
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        call(__NR_rt_sigaction, numbers[i], (long)&action, 0, 8, 0, 0);
}

/* What has been seen of the network so far. */
struct seen {
    int index; /* of the interface; 0 for none */
    int is_up;
    int route_of; /* index of the interface that multicast leaves by; 0 for none */
};

static void see_link(struct seen *seen, struct nlmsghdr *message) {
    struct ifinfomsg *link = NLMSG_DATA(message);
    int left = (int)message->nlmsg_len - (int)NLMSG_LENGTH(sizeof *link);
    for (struct rtattr *item = IFLA_RTA(link); RTA_OK(item, left); item = RTA_NEXT(item, left)) {
        if (item->rta_type != IFLA_IFNAME || !is_same(RTA_DATA(item), DEVICE)) continue;
        seen->index = message->nlmsg_type == RTM_NEWLINK ? link->ifi_index : 0;
        seen->is_up = seen->index && link->ifi_flags & IFF_UP;
    }
}

static void see_route(struct seen *seen, struct nlmsghdr *message) {
    struct rtmsg *route = NLMSG_DATA(message);
    int left = (int)message->nlmsg_len - (int)NLMSG_LENGTH(sizeof *route);
    int device = 0, is_multicast = 0;
    if (route->rtm_family != AF_INET || route->rtm_dst_len != MULTICAST_BITS) return;
    for (struct rtattr *item = RTM_RTA(route); RTA_OK(item, left); item = RTA_NEXT(item, left)) {
        if (item->rta_type == RTA_DST) is_multicast = *(unsigned char *)RTA_DATA(item) == MULTICAST_NET;
        if (item->rta_type == RTA_OIF) device = *(int *)RTA_DATA(item);
    }
    if (is_multicast) seen->route_of = message->nlmsg_type == RTM_NEWROUTE ? device : 0;
}

static int is_ready(const struct seen *seen) {
#ifdef WITHOUT_MULTICAST
    return seen->is_up;
#else
    return seen->is_up && seen->route_of == seen->index;
#endif
}

/* Ask for all links, or all routes; the answers come among what is told anyway. */
static long ask(int fd, int type) {
    struct {
        struct nlmsghdr head;
        struct rtmsg body; /* all zero, and as long as any of the two bodies needs */
        char rest[8];
    } request;
    memset(&request, 0, sizeof request);
    request.head.nlmsg_len = NLMSG_LENGTH(type == RTM_GETLINK ? sizeof(struct ifinfomsg) : sizeof(struct rtmsg));
    request.head.nlmsg_type = (unsigned short)type;
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    return call(__NR_sendto, fd, (long)&request, request.head.nlmsg_len, 0, 0, 0);
}

static void give_up(const char *what, long error) {
    say("weave: cannot wait for the network: "), say(what), say(": "), say(reason(error)), say("\n");
    leave(1);
}

static void wait_for_network(void) {
    static char buffer[32768] __attribute__((aligned(8))); /* as long as any part of a dump */
    struct sockaddr_nl own;
    struct seen seen = {0, 0, 0};
    int to_ask = RTM_GETLINK, is_asking = 0;
    long patience[2] = {SAY_AFTER_S, 0};
    struct { int fd; short events, happened; } poll;
    long fd = call(__NR_socket, 16 /* AF_NETLINK */, 3 | 02000000 /* SOCK_RAW, SOCK_CLOEXEC */, NETLINK_ROUTE, 0, 0, 0);
    if (fd < 0) give_up("socket", fd);
    memset(&own, 0, sizeof own);
    own.nl_family = 16;
    own.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_ROUTE;
    /* First listen, then ask: nothing can happen unseen in between. */
    long done = call(__NR_bind, fd, (long)&own, sizeof own, 0, 0, 0);
    if (done < 0) give_up("bind", done);
    poll.fd = (int)fd, poll.events = 1 /* POLLIN */;
    while (!is_ready(&seen)) {
        if (!is_asking && to_ask) {
            done = ask((int)fd, to_ask);
            if (done < 0) give_up("send", done);
            is_asking = 1;
        }
        done = call(__NR_ppoll, (long)&poll, 1, (long)patience, 0, 0, 0);
        if (done == 0) {
            say("weave: still waiting for the interface " DEVICE "; is weave running on this host?\n");
            patience[0] = 1L << 30;
            continue;
        }
        done = call(__NR_recvfrom, fd, (long)buffer, sizeof buffer, 0, 0, 0);
        if (done == -105 /* ENOBUFS: some was lost, so ask for all again */) {
            is_asking = 0, to_ask = RTM_GETLINK;
            continue;
        }
        if (done == -4 /* EINTR */) continue;
        if (done < 0) give_up("receive", done);
        int left = (int)done;
        for (struct nlmsghdr *message = (void *)buffer; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
            switch (message->nlmsg_type) {
            case RTM_NEWLINK: case RTM_DELLINK: see_link(&seen, message); break;
            case RTM_NEWROUTE: case RTM_DELROUTE: see_route(&seen, message); break;
            case NLMSG_DONE: is_asking = 0, to_ask = to_ask == RTM_GETLINK ? RTM_GETROUTE : 0; break;
            case NLMSG_ERROR: give_up("the kernel", ((struct nlmsgerr *)NLMSG_DATA(message))->error);
            }
        }
    }
    call(__NR_close, fd, 0, 0, 0, 0, 0);
}

/* Return 0 for a file that may be run, or why not. */
static long why_not(const char *path) {
    char found[256] __attribute__((aligned(8))); /* struct statx */
    long done = call(__NR_statx, -100 /* AT_FDCWD */, (long)path, 0, 3 /* type and mode */, (long)found, 0);
    if (done < 0) return done;
    unsigned mode = *(unsigned short *)(found + 28);
    return (mode & 0170000) != 0040000 && mode & 0111 ? 0 : -13;
}

static int has_slash(const char *name) {
    while (*name && *name != '/') name++;
    return *name == '/';
}

static const char *search(const char *name, char **environment, char *path) {
    const char *dirs = "";
    for (; *environment; environment++)
        if (length(*environment) >= 5 && (*environment)[0] == 'P' && (*environment)[1] == 'A' &&
            (*environment)[2] == 'T' && (*environment)[3] == 'H' && (*environment)[4] == '=')
            dirs = *environment + 5;
    size_t size = length(name);
    while (*dirs && size) {
        size_t used = 0;
        while (dirs[used] && dirs[used] != ':') used++;
        if (used + size + 3 < PATH_SIZE) {
            size_t at = used;
            memcpy(path, dirs, used);
            if (!used) path[at++] = '.'; /* an empty one means here */
            path[at++] = '/';
            memcpy(path + at, name, size + 1);
            if (!why_not(path)) return path;
        }
        dirs += used + (dirs[used] == ':');
    }
    return 0;
}

void begin(long *stack) {
    static char path[PATH_SIZE];
    char **arguments = (char **)(stack + 1), **environment = arguments + stack[0] + 1;
    if (stack[0] < 2) say("No command specified\n"), leave(1);
    catch_signals();
    wait_for_network();
    const char *name = arguments[1], *program = name;
    if (has_slash(name)) {
        long why = why_not(name);
        if (why == -13) fail(name, reason(why));
        if (why) {
            say("exec: \""), say(name), say("\": stat "), say(name), say(": "), say(reason(why)), say("\n");
            leave(1);
        }
    } else if (!(program = search(name, environment, path))) {
        fail(name, "executable file not found in $PATH");
    }
    long done = call(__NR_execve, (long)program, (long)(arguments + 1), (long)environment, 0, 0, 0);
    say(reason(done)), say("\n");
    leave(1);
}
