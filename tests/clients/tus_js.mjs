// Drives one upload of tus-js-client as told through stdin, and tells on stdout all that it does.
//
// Each line is a JSON object. The first one in: {file, as: "buffer" | "file" | "stream", options,
// urlStorage?: path}. Then commands: {do: "start"}, {do: "continue"} (with what the URL storage
// knows of this file), {do: "abort", terminate: boolean}, {do: "terminate", url}, {do: "end"}. Out:
// {event: "request" | "response" | "url" | "chunk" | "success" | "error" | "aborted" | "terminated",
// ...}.

import { createReadStream, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { FileUrlStorage, Upload } from 'tus-js-client'

const BLOCK = 65536
const HEADERS_SENT = ['Upload-Offset', 'Upload-Length', 'Upload-Complete', 'Upload-Concat']

const tell = (event, facts = {}) => process.stdout.write(`${JSON.stringify({ event, ...facts })}\n`)

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const nextLine = async () => {
  const { done, value } = await lines.next()
  return done ? null : JSON.parse(value)
}

const factsOf = (response) =>
  response && {
    status: response.getStatus(),
    headers: response.getUnderlyingObject().headers,
    body: response.getBody(),
  }

const requestOf = (request) => ({
  method: request.getMethod(),
  url: request.getURL(),
  sent: Object.fromEntries(HEADERS_SENT.map((name) => [name, request.getHeader(name)])),
})

const SOURCES = {
  buffer: (path) => readFileSync(path),
  file: (path) => createReadStream(path),
  // A stream that does not know its length. Its blocks are smaller than any chunk.
  stream: (path) => Readable.from(createReadStream(path, { highWaterMark: BLOCK }), { objectMode: false }),
}

const tellError = (error) =>
  tell('error', { message: error.message, ...factsOf(error.originalResponse) })

const { file, as, options, urlStorage } = await nextLine()
const upload = new Upload(SOURCES[as](file), {
  storeFingerprintForResuming: Boolean(urlStorage),
  ...(urlStorage && { urlStorage: new FileUrlStorage(urlStorage) }),
  ...options,
  onBeforeRequest: (request) => tell('request', requestOf(request)),
  onAfterResponse: (request, response) =>
    tell('response', { ...requestOf(request), ...factsOf(response) }),
  onUploadUrlAvailable: () => tell('url', { url: upload.url }),
  onChunkComplete: (size, accepted, total) => tell('chunk', { size, accepted, total }),
  onSuccess: ({ lastResponse }) => tell('success', { url: upload.url, ...factsOf(lastResponse) }),
  onError: tellError,
})

const commands = {
  start: async () => upload.start(),
  continue: async () => {
    const [previous] = await upload.findPreviousUploads()
    upload.resumeFromPreviousUpload(previous)
    upload.start()
  },
  abort: async ({ terminate }) => {
    await upload.abort(terminate)
    tell('aborted', { url: upload.url })
  },
  terminate: async ({ url }) => {
    await Upload.terminate(url, options)
    tell('terminated', { url })
  },
}

for (let command; (command = await nextLine()) && command.do !== 'end'; ) {
  await commands[command.do](command).catch(tellError)
}
// Whatever the client still has on its way or plans to do is over now.
process.exit()
