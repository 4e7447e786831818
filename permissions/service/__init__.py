"""The broker as a process of its own, and the way to it from the processes of agents.

What belongs here: frames on a socket, who is at its other end and what they may claim, the
server, and the client that stands in the place of a broker in this process. No decision is made
here; that is the broker's, which knows nothing of sockets.
"""
