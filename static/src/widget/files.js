/**
 * The files that a person chose or dropped, folders walked through.
 *
 * A drop's items are dead as soon as its event is over, so everything is taken from them
 * synchronously, before the first wait. Of a folder `readEntries` gives at most a hundred entries a
 * call and is asked until it gives none. Empty folders are lost, as in an `<input>`.
 */

/**
 * @typedef {object} Found
 * @property {File} file
 * @property {string} [relative_path] from the folder that was chosen on, with slashes
 * @property {FileSystemFileHandle} [file_handle]
 */

/** @typedef {{found: Found[], unread: string[]}} Catch `unread`: names of what could not be read */

/** @param {HTMLInputElement} input @returns {Found[]} */
export function files_of_input(input) {
  return Array.from(input.files ?? [], (file) => {
    return file.webkitRelativePath ? { file, relative_path: file.webkitRelativePath } : { file };
  });
}

/**
 * Call it in the drop event itself.
 *
 * @param {DataTransfer} data_transfer
 * @returns {Promise<Catch>}
 */
export async function files_of_drop(data_transfer) {
  /** @type {Catch} */
  const caught = { found: [], unread: [] };
  const items = Array.from(data_transfer.items).filter((item) => item.kind === "file");
  // All are taken before the first is waited for; the order stays that of the drop.
  for (const walk of items.map(take)) await walk(caught);
  return caught;
}

/**
 * @param {DataTransferItem} item
 * @returns {(caught: Catch) => Promise<void>}
 */
function take(item) {
  const entry = item.webkitGetAsEntry?.();
  if (entry?.isDirectory) return (caught) => walk_folder(/** @type {FileSystemDirectoryEntry} */ (entry), caught);
  const file = item.getAsFile();
  // Only some browsers have it: with it the upload goes on after a reload without choosing again.
  const handle = /** @type {any} */ (item).getAsFileSystemHandle?.()?.catch(() => null);
  return async ({ found }) => {
    const file_handle = await handle;
    if (file) found.push(file_handle?.kind === "file" ? { file, file_handle } : { file });
  };
}

/**
 * @param {FileSystemDirectoryEntry} folder
 * @param {Catch} caught
 */
async function walk_folder(folder, { found, unread }) {
  /** @type {FileSystemEntry[]} */
  const waiting = [folder];
  for (let entry; (entry = waiting.pop()); ) {
    try {
      if (entry.isDirectory) waiting.push(...(await list_folder(/** @type {any} */ (entry))).reverse());
      else found.push({ file: await file_of(/** @type {any} */ (entry)), relative_path: entry.fullPath.slice(1) });
    } catch {
      unread.push(entry.name);
    }
  }
}

/** @param {FileSystemDirectoryEntry} folder */
async function list_folder(folder) {
  const reader = folder.createReader();
  /** @type {FileSystemEntry[]} */
  const entries = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return entries;
    entries.push(...some);
  }
}

/** @param {FileSystemFileEntry} entry @returns {Promise<File>} */
function file_of(entry) {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

/**
 * Whether the attribute `accept` of an `<input>` lets it through; a drop does not ask the browser.
 *
 * @param {{name: string, type: string}} file
 * @param {string} accept "image/*,.pdf"; empty for anything
 */
export function is_accepted({ name, type }, accept) {
  const kinds = accept.toLowerCase().split(",").map((kind) => kind.trim()).filter(Boolean);
  const [lower_name, lower_type] = [name.toLowerCase(), type.toLowerCase()];
  return kinds.length === 0 || kinds.some((kind) => {
    if (kind.startsWith(".")) return lower_name.endsWith(kind);
    if (kind.endsWith("/*")) return kind === "*/*" || lower_type.startsWith(kind.slice(0, -1));
    return lower_type === kind;
  });
}
