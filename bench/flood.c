// SPDX-License-Identifier: Apache-2.0
// How many small datagrams get through: one process sends as many as it can, another counts those that arrive.
//
//   flood NETNS_FROM NETNS_TO ADDRESS MILLISECONDS
//
// Prints datagrams of 64 bytes delivered per second. Batched calls, so that the sender is not what is measured.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT 5401
#define SMALL 64
#define BATCH 64
#define BUFFER (8 << 20)
#define DRAIN_MS 50

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int socket_in(const char *netns)
{
	int ns = open(netns, O_RDONLY), size = BUFFER;
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		fail(netns);
	close(ns);
	int made = socket(AF_INET, SOCK_DGRAM, 0);
	if (made < 0)
		fail("socket");
	setsockopt(made, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return made;
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void batch(struct mmsghdr *headers, struct iovec *parts, char (*data)[SMALL])
{
	memset(headers, 0, BATCH * sizeof(*headers));
	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ data[i], SMALL };
		headers[i].msg_hdr.msg_iov = &parts[i];
		headers[i].msg_hdr.msg_iovlen = 1;
	}
}

static void send_until(int from, double end_ms)
{
	static char data[BATCH][SMALL];
	struct mmsghdr headers[BATCH];
	struct iovec parts[BATCH];
	batch(headers, parts, data);
	while (now_ms() < end_ms)
		sendmmsg(from, headers, BATCH, 0);
}

static long count_until(int to, double end_ms)
{
	static char data[BATCH][SMALL];
	struct mmsghdr headers[BATCH];
	struct iovec parts[BATCH];
	struct timeval wait = { 0, 20000 };
	long got = 0;
	batch(headers, parts, data);
	setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	while (now_ms() < end_ms) {
		int n = recvmmsg(to, headers, BATCH, MSG_WAITFORONE, NULL);
		got += n > 0 ? n : 0;
	}
	return got;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int to = socket_in(argv[2]);
	if (bind(to, (void *)&at, sizeof(at)) < 0)
		fail("bind");
	inet_pton(AF_INET, argv[3], &at.sin_addr);
	int from = socket_in(argv[1]);
	if (connect(from, (void *)&at, sizeof(at)) < 0)
		fail("connect");
	double length_ms = atof(argv[4]), end_ms = now_ms() + length_ms;
	pid_t sender = fork();
	if (sender < 0)
		fail("fork");
	if (sender == 0) {
		send_until(from, end_ms);
		_exit(0);
	}
	long got = count_until(to, end_ms + DRAIN_MS);
	waitpid(sender, NULL, 0);
	printf("%.0f\n", got / length_ms * 1e3);
	return 0;
}
