//! Migrations are embedded by a macro, which cargo cannot see: rebuild when they change.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
