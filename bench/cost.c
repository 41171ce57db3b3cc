// SPDX-License-Identifier: Apache-2.0
// What the kernel spends on a packet: one pinned thread sends and receives, so that all work is done in its own time.
//
//   cost NETNS_FROM NETNS_TO ADDRESS udp|pingpong|tcp COUNT
//
// Prints nanoseconds of thread time per datagram, per round trip, or per KiB. COUNT is datagrams, round trips or MiB.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 5400
#define SMALL 64
#define BATCH 32
#define CHUNK 65536

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int socket_in(const char *netns, int type)
{
	int ns = open(netns, O_RDONLY);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		fail(netns);
	close(ns);
	int made = socket(AF_INET, type, 0);
	if (made < 0)
		fail("socket");
	return made;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void receive(int from)
{
	char data[SMALL];
	struct timespec pause = { 0, 50000 };
	for (int tries = 0; recv(from, data, sizeof(data), MSG_DONTWAIT) < 0; tries++) {
		if (errno != EAGAIN || tries > 20000)
			fail("recv");
		nanosleep(&pause, 0);
	}
}

static double datagrams(int from, int to, long count, int answer)
{
	char data[SMALL] = { 0 };
	double begin = now();
	if (answer) {
		for (long i = 0; i < count; i++) {
			if (send(from, data, SMALL, 0) < 0)
				fail("send");
			receive(to);
			if (send(to, data, SMALL, 0) < 0)
				fail("send back");
			receive(from);
		}
		return (now() - begin) / count;
	}
	for (long i = 0; i < count; i += BATCH) {
		for (int j = 0; j < BATCH; j++)
			if (send(from, data, SMALL, 0) < 0)
				fail("send");
		for (int j = 0; j < BATCH; j++)
			receive(to);
	}
	return (now() - begin) / count;
}

static double stream(int from, int to, long mib)
{
	static char data[CHUNK];
	long sent = 0, got = 0, total = mib << 20;
	double begin = now();
	while (got < total) {
		if (sent < total) {
			ssize_t n = send(from, data, CHUNK, MSG_DONTWAIT);
			if (n > 0)
				sent += n;
			else if (errno != EAGAIN)
				fail("send");
		}
		ssize_t n = recv(to, data, CHUNK, MSG_DONTWAIT);
		if (n > 0)
			got += n;
		else if (n == 0 || errno != EAGAIN)
			fail("recv");
	}
	return (now() - begin) / (total >> 10);
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		fail("sched_setaffinity");
	int is_tcp = !strcmp(argv[4], "tcp");
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) }, back;
	socklen_t size = sizeof(back);
	inet_pton(AF_INET, argv[3], &at.sin_addr);
	int to = socket_in(argv[2], is_tcp ? SOCK_STREAM : SOCK_DGRAM), yes = 1;
	setsockopt(to, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(to, (void *)&at, sizeof(at)) < 0 || (is_tcp && listen(to, 1) < 0))
		fail("bind");
	int from = socket_in(argv[1], is_tcp ? SOCK_STREAM : SOCK_DGRAM);
	if (is_tcp)
		setsockopt(from, IPPROTO_TCP, 13 /* TCP_CONGESTION */, "cubic", 5);
	if (connect(from, (void *)&at, sizeof(at)) < 0)
		fail("connect");
	if (is_tcp) {
		to = accept(to, 0, 0);
		printf("%.1f\n", stream(from, to, atol(argv[5])));
		return 0;
	}
	if (getsockname(from, (void *)&back, &size) < 0 || connect(to, (void *)&back, size) < 0)
		fail("answer");
	datagrams(from, to, BATCH, 1);
	printf("%.1f\n", datagrams(from, to, atol(argv[5]), !strcmp(argv[4], "pingpong")));
	return 0;
}
