# As lookup.c: each NAME is looked up, from each HOST:PORT a page fetched.
import socket, sys, time, urllib.request

codes = {getattr(socket, name): name for name in dir(socket) if name.startswith("EAI_")}

for arg in sys.argv[1:]:
    if ":" in arg:
        began = time.monotonic()
        with urllib.request.urlopen("http://" + arg + "/") as page:
            body = page.read().decode()
        print(arg, int((time.monotonic() - began) * 1e6), body, end="")
        continue
    began = time.monotonic()
    try:
        found = socket.getaddrinfo(arg, None, type=socket.SOCK_STREAM)
        saw = ",".join(address[0] for *_, address in found)
    except socket.gaierror as failure:
        saw = codes.get(failure.errno, str(failure))
    print(arg, int((time.monotonic() - began) * 1e6), saw)
