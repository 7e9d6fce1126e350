"""Our own small SMTP client on asyncio: a connection, and the connections kept to a next hop."""
