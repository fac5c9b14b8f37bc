// @tus/server with @tus/file-store and their default settings.
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const directory = `${process.env.BENCHMARK_FOLDER}/files`;
const server = new Server({ path: "/files", datastore: new FileStore({ directory }) });
server.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
