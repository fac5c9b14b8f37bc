/** Entry for `import`: the same library as exports. */

import { create_library } from "./library.js";

export const { set_server_hostname, Uploader } = create_library(import.meta.url);
