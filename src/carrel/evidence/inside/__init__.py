"""What runs inside a sandbox: attempts to get out of it, with the standard library alone.

These modules are sent into the sandbox as one program text (evidence/program.py), so they
import nothing but the standard library and each other. The control outside runs the same text.

The first rule of an attempt: it changes nothing on the host, even where the way is open. It opens
for writing and writes nothing, connects and sends nothing, asks and gives back. Where a system
call would change something, it is asked with an argument that cannot work: the kernel checks the
permission first, so `EPERM` means no and `EINVAL` means "I would have".
"""
