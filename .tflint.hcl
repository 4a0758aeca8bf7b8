# The bundled rules, all of them. No plugin is downloaded.
plugin "terraform" {
  enabled = true
  preset  = "all"
}

# Files are named after their concern (one file a concern); a main.tf would only say that it is first.
rule "terraform_standard_module_structure" {
  enabled = false
}
