"""How gunicorn runs the web process: `gunicorn mxax.wsgi -c mxax/gunicorn.py`."""

from mxax.env import environment

bind = str(environment().web_listen)
worker_class = "gthread"
workers = 1
threads = 4
timeout = 60
graceful_timeout = 20
keepalive = 5
accesslog = None  # requests are logged by the application, without addresses of people
errorlog = "-"
loglevel = "warning"
proc_name = "mxax-web"
control_socket_disable = True
