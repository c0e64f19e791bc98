/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paced UDP with numbered packets, to count what is lost and what comes out of order:
 *   pace send ADDRESS PORT FLOWS PACKETS_PER_S SECONDS
 *   pace recv PORT FLOWS SECONDS
 * Both print one JSON object. ADDRESS may be IPv4 or IPv6.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_FLOWS 4096
#define FIRST_PORT 20000

struct numbered {
	uint32_t flow;
	uint32_t sequence;
	char padding[24];
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static socklen_t address_of(struct sockaddr_storage *out, const char *text, int port)
{
	struct sockaddr_in *four = (void *)out;
	struct sockaddr_in6 *six = (void *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		return sizeof(*four);
	}
	if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1) {
		fprintf(stderr, "%s is no address\n", text);
		exit(2);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(port);
	return sizeof(*six);
}

static int opened(int family, int port)
{
	struct sockaddr_storage any;
	int size = 32 << 20, handle = socket(family, SOCK_DGRAM, 0);
	socklen_t length = address_of(&any, family == AF_INET ? "0.0.0.0" : "::", port);

	setsockopt(handle, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(handle, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (handle < 0 || bind(handle, (void *)&any, length)) {
		perror("socket");
		exit(2);
	}
	return handle;
}

static int send_all(const char *address, int port, int flows, double rate, double seconds)
{
	static int handles[MOST_FLOWS];
	struct sockaddr_storage there;
	socklen_t length = address_of(&there, address, port);
	struct numbered packet = {0};
	uint64_t sent = 0, failed = 0, due;
	double began;

	for (int i = 0; i < flows; i++) {
		handles[i] = opened(there.ss_family, FIRST_PORT + port % 10 * MOST_FLOWS + i);
		if (connect(handles[i], (void *)&there, length)) {
			perror("connect");
			return 2;
		}
	}
	began = now();
	while (now() - began < seconds) {
		due = (now() - began) * rate;
		for (; sent < due; sent++) {
			packet.flow = sent % flows;
			packet.sequence = sent / flows;
			while (send(handles[packet.flow], &packet, sizeof(packet), 0) < 0) {
				if (errno != EAGAIN && errno != ENOBUFS) {
					failed++;
					break;
				}
			}
		}
		usleep(500);
	}
	printf("{\"sent\": %lu, \"failed\": %lu}\n", sent, failed);
	return 0;
}

static int receive_all(int port, int flows, double seconds)
{
	static int64_t last[MOST_FLOWS];
	uint64_t received = 0, reordered = 0, again = 0;
	struct timeval wait = {.tv_usec = 50000};
	struct numbered packet;
	int handle = opened(AF_INET6, port);
	double until = now() + seconds;

	memset(last, 0xFF, sizeof(last));
	setsockopt(handle, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	printf("listening\n");
	fflush(stdout);
	while (now() < until) {
		if (recv(handle, &packet, sizeof(packet), 0) != sizeof(packet) ||
		    packet.flow >= (uint32_t)flows)
			continue;
		received++;
		if (packet.sequence == last[packet.flow])
			again++;
		else if ((int64_t)packet.sequence < last[packet.flow])
			reordered++;
		else
			last[packet.flow] = packet.sequence;
	}
	printf("{\"received\": %lu, \"reordered\": %lu, \"again\": %lu}\n", received, reordered,
	       again);
	return 0;
}

int main(int argc, char **argv)
{
	int flows;

	if (argc == 7 && !strcmp(argv[1], "send")) {
		flows = atoi(argv[4]);
		if (flows > 0 && flows <= MOST_FLOWS)
			return send_all(argv[2], atoi(argv[3]), flows, atof(argv[5]),
					atof(argv[6]));
	}
	if (argc == 5 && !strcmp(argv[1], "recv")) {
		flows = atoi(argv[3]);
		if (flows > 0 && flows <= MOST_FLOWS)
			return receive_all(atoi(argv[2]), flows, atof(argv[4]));
	}
	fprintf(stderr,
		"pace send ADDRESS PORT FLOWS RATE SECONDS | pace recv PORT FLOWS SECONDS\n");
	return 2;
}
