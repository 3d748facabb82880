// The service of paying.py for Node, which knows nothing of ZooKeeper and of signals. `PORT` is the port.
const http = require("http");

const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const pause = pathname === "/slow" ? Number(searchParams.get("seconds")) * 1000 : 0;
  setTimeout(() => response.end(`paid by ${process.pid}`), pause);
});
server.keepAliveTimeout = 60000; // longer than any caller keeps an idle connection
server.listen(Number(process.env.PORT));
