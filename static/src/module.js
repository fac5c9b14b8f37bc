/** Entry for `import`: the same library as exports. */

import { create_library } from "./library.js";

export const { Uploader, configure, resumable, set_server_hostname, tickets_from } = create_library(import.meta.url);
