// Each NAME is looked up by getaddrinfo, and from each HOST:PORT a page is
// fetched, which takes a lookup too. A line tells of each:
//
//	NAME MICROSECONDS ADDRESS[,ADDRESS...], or what getaddrinfo calls the failure
//	HOST:PORT MICROSECONDS BODY
//
// It is compiled for glibc and for musl. What it allocates ends with it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long long microseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static const char *failure(int code)
{
	switch (code) {
	case EAI_NONAME: return "EAI_NONAME";
	case EAI_AGAIN: return "EAI_AGAIN";
	case EAI_FAIL: return "EAI_FAIL";
	case EAI_NODATA: return "EAI_NODATA";
	case EAI_SYSTEM: return "EAI_SYSTEM";
	default: return gai_strerror(code);
	}
}

static int resolve(const char *host, const char *port, struct addrinfo **found)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	return getaddrinfo(host, port, &hints, found);
}

static void lookup(const char *name)
{
	struct addrinfo *found, *a;
	long long began = microseconds();
	int code = resolve(name, NULL, &found);
	printf("%s %lld ", name, microseconds() - began);
	if (code != 0) {
		printf("%s\n", failure(code));
		return;
	}
	for (a = found; a; a = a->ai_next) {
		char text[INET6_ADDRSTRLEN];
		const void *address = a->ai_family == AF_INET
			? (const void *)&((struct sockaddr_in *)a->ai_addr)->sin_addr
			: (const void *)&((struct sockaddr_in6 *)a->ai_addr)->sin6_addr;
		inet_ntop(a->ai_family, address, text, sizeof text);
		printf("%s%s", a == found ? "" : ",", text);
	}
	printf("\n");
}

static int fetch(const char *host, const char *port)
{
	static char page[1 << 16];
	size_t size = 0;
	ssize_t n;
	struct addrinfo *found, *a;
	long long began = microseconds();
	int fd = -1, code = resolve(host, port, &found);
	if (code != 0) {
		fprintf(stderr, "%s: %s\n", host, failure(code));
		return 1;
	}
	for (a = found; a; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype, 0);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
	}
	if (!a) {
		perror(host);
		return 1;
	}
	dprintf(fd, "GET / HTTP/1.0\r\nHost: %s:%s\r\n\r\n", host, port);
	shutdown(fd, SHUT_WR); // HCM tells of the server's end after ours
	while ((n = read(fd, page + size, sizeof page - 1 - size)) > 0)
		size += n;
	if (n < 0) {
		perror("read");
		return 1;
	}
	char *body = strstr(page, "\r\n\r\n");
	printf("%s:%s %lld %s", host, port, microseconds() - began, body ? body + 4 : "no body\n");
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char *colon = strchr(argv[i], ':');
		if (!colon) {
			lookup(argv[i]);
			continue;
		}
		*colon = 0;
		if (fetch(argv[i], colon + 1) != 0)
			return 1;
	}
	return 0;
}
