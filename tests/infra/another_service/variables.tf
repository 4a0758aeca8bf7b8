
variable "another" {
  description = "The other service."
  type = object({
    max_instances      = optional(number, 2)
    database_pool_size = optional(number, 3)
  })
  nullable = false
  default  = {}
}
